import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide } from './rig.ts';

/**
 * An unchanged build on a machine that has nothing, as in CI: without a shared cache, and with one in a registry.
 * Run: `npm run bench cache-from BASE.tar`, where BASE.tar is a root filesystem made by mmdebstrap.
 */
const base = process.argv[2];
if (base === undefined) throw new Error('usage: npm run bench cache-from BASE.tar');
const stk = `node ${path.resolve('dist/stk.js')}`;
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
const registry = await DockerRegistry.start();
const inHome = { cwd: home, env: { SOURCE_DATE_EPOCH: '1' } };
try {
  const recipe = {
    app: {
      from: { type: 'docker', url: `docker://${registry.host}/base:1` },
      run: 'tar -cf - /usr | gzip -9 > /opt/usr.tar.gz',
    },
    more: { from: { type: 'built', tag: 'app' }, run: 'find /usr -type f | xargs sha256sum > /opt/sums' },
  };
  await writeFile(
    path.join(home, 'base.json'),
    JSON.stringify({ base: { from: { type: 'tar', url: path.resolve(base) } } }),
  );
  await writeFile(path.join(home, 'stacker.yaml'), JSON.stringify(recipe));
  await shell(`${stk} build -f base.json; ${stk} publish base docker://${registry.host}/base:1`, inHome);
  const wipe = () => shell('rm -rf oci .stk', inHome);
  await wipe();
  const cache = `docker://${registry.host}/cache`;
  await shell(`${stk} build --cache-to ${cache}`, inHome);
  report(
    'an unchanged build on a fresh machine',
    await sideBySide(
      [
        { name: 'stk build', script: `${stk} build`, prepare: wipe, ...inHome },
        { name: 'stk build --cache-from', script: `${stk} build --cache-from ${cache}`, prepare: wipe, ...inHome },
        { name: 'stk build, again', script: `${stk} build`, ...inHome },
      ],
      3,
    ),
  );
} finally {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}
