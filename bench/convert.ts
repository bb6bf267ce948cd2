import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide } from './rig.ts';

/**
 * Turning an image with a tar+gzip layer into one with a squashfs layer, beside skopeo and tar2sqfs doing the parts of it:
 * from a layout, and from a registry of the loopback.
 * Run: `npm run bench convert BASE.tar`, where BASE.tar is a root filesystem made by mmdebstrap.
 */
const base = process.argv[2];
if (base === undefined) throw new Error('usage: npm run bench convert BASE.tar');
const stk = `node ${path.resolve('dist/stk.js')}`;
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
const inHome = { cwd: home };
const registry = await DockerRegistry.start();
try {
  await writeFile(
    path.join(home, 'stacker.yaml'),
    JSON.stringify({ app: { from: { type: 'tar', url: path.resolve(base) }, labels: { of: 'bench' } } }),
  );
  await shell(`${stk} build --layer-type tar`, inHome);
  const wipe = () => shell('rm -rf out out.sqfs .stk', inHome);
  const layer = 'oci/blobs/sha256/$(skopeo inspect oci:oci:app | jq -r .Layers[0] | cut -d: -f2)';
  // stk's own defaults, without and with the verity tree that tar2sqfs does not make.
  const tar2sqfs = `gzip -dc ${layer} | tar2sqfs -f -q -j $(nproc) -c zstd -X level=3 -b 262144 out.sqfs`;
  const parts = `skopeo copy oci:oci:app oci:out:app\n${tar2sqfs}`;
  report(
    'convert a tar layer to squashfs',
    await sideBySide(
      [
        { name: 'skopeo copy, gzip and tar2sqfs', script: parts, prepare: wipe, ...inHome },
        {
          name: 'stk convert --no-verity',
          script: `${stk} convert oci:oci:app oci:out:app --no-verity`,
          prepare: wipe,
          ...inHome,
        },
        { name: 'stk convert', script: `${stk} convert oci:oci:app oci:out:app`, prepare: wipe, ...inHome },
        { name: 'stk convert, again', script: `${stk} convert oci:oci:app oci:out:app`, ...inHome },
      ],
      3,
    ),
  );
  const remote = `docker://${registry.host}/app:1`;
  await shell(`skopeo copy --dest-tls-verify=false oci:oci:app ${remote}`, inHome);
  const pulled = `skopeo copy --src-tls-verify=false ${remote} oci:out:app\n${tar2sqfs}`;
  report(
    'convert a tar layer of a registry to squashfs',
    await sideBySide(
      [
        { name: 'skopeo copy, gzip and tar2sqfs', script: pulled, prepare: wipe, ...inHome },
        { name: 'stk convert', script: `${stk} convert ${remote} oci:out:app`, prepare: wipe, ...inHome },
      ],
      3,
    ),
  );
} finally {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}
