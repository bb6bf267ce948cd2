import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide } from './rig.ts';

/**
 * Publishing to a loopback registry, cold and unchanged, beside skopeo; conversion of a whole image beside its parts.
 * Run: `npm run bench publish BASE.tar`, where BASE.tar is a root filesystem made by mmdebstrap.
 */
const base = process.argv[2];
if (base === undefined) throw new Error('usage: npm run bench publish BASE.tar');
const stk = `node ${path.resolve('dist/stk.js')}`;
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
const registry = await DockerRegistry.start();
const inHome = { cwd: home };
try {
  await writeFile(
    path.join(home, 'stacker.yaml'),
    JSON.stringify({ app: { from: { type: 'tar', url: path.resolve(base) }, labels: { of: 'bench' } } }),
  );
  await shell(`${stk} build --layer-type squashfs --layer-type tar`, inHome);
  let round = 0;
  const fresh = async () => {
    round++;
    await writeFile(path.join(home, 'round'), `r${round}`);
    // A registry has blobs of other repositories at hand, so each round begins with an empty one.
    await shell(`rm -rf ${registry.directory}/data`);
  };
  const to = (name: string) => `docker://${registry.host}/$(cat round)/${name}:1`;
  report(
    'publish, nothing there',
    await sideBySide(
      [
        {
          name: 'skopeo copy',
          script: `skopeo copy --dest-tls-verify=false oci:oci:app-tar ${to('skopeo')}`,
          prepare: fresh,
          ...inHome,
        },
        { name: 'stk publish', script: `${stk} publish app-tar ${to('stk')}`, prepare: fresh, ...inHome },
      ],
      3,
    ),
  );
  report(
    'publish, unchanged',
    await sideBySide(
      [
        { name: 'node -e 0', script: 'node -e 0', ...inHome },
        { name: 'skopeo copy', script: `skopeo copy --dest-tls-verify=false oci:oci:app-tar ${to('same')}`, ...inHome },
        { name: 'stk publish', script: `${stk} publish app-tar ${to('same')}`, ...inHome },
      ],
      3,
    ),
  );
  const wipe = async () => shell('rm -rf out .stk', inHome);
  report(
    'convert to squashfs',
    await sideBySide(
      [
        {
          name: 'zlib alone',
          script: 'gzip -dc oci/blobs/sha256/$(ls -S oci/blobs/sha256 | head -1) > /dev/null || true',
          ...inHome,
        },
        { name: 'stk convert', script: `${stk} convert app-tar oci:out:app`, prepare: wipe, ...inHome },
        { name: 'stk convert, again', script: `${stk} convert app-tar oci:out:app`, ...inHome },
      ],
      3,
    ),
  );
} finally {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}
