import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide, type Command } from './rig.ts';

/**
 * Builds on a Debian base in a loopback registry, beside buildah with the same steps; conversion of a large layer beside
 * the bare tools. Run as root: `npm run bench build BASE.tar`, where BASE.tar is a root filesystem made by mmdebstrap.
 */
const RUN = 'echo hello > /etc/motd && mkdir /srv/new && rm -r /usr/share/doc';
const STORAGE = '--storage-driver overlay --root storage --runroot run';
const ROOTLESS_USER = process.env['BENCH_USER'] ?? 'stk-test';

const base = process.argv[2];
if (base === undefined) throw new Error('usage: npm run bench build BASE.tar');
const cli = path.resolve('dist/stk.js');
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
await shell(`chmod 755 ${home}`);
const registry = await DockerRegistry.start();
try {
  const image = `${registry.host}/debian:bookworm`;
  await shell(
    `umoci init --layout b && umoci new --image b:base && umoci raw add-layer --image b:base ${base} && skopeo copy --dest-tls-verify=false oci:b:base docker://${image}`,
    { cwd: home },
  );
  await builds(image);
  await conversion();
} finally {
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}

async function builds(image: string): Promise<void> {
  const copy = path.join(home, 'stk');
  await shell(`cp -r ${path.dirname(cli)} ${copy}`);
  const user = await account(ROOTLESS_USER);
  for (const [title, owner] of [['root', undefined] as const, ['rootless', user] as const]) {
    const directory = path.join(home, title);
    await shell(`mkdir -p ${directory}/context ${directory}/home`);
    await writeFile(
      path.join(directory, 'stacker.yaml'),
      JSON.stringify({ app: { from: `docker://${image}`, run: RUN } }),
    );
    await writeFile(path.join(directory, 'context/Dockerfile'), `FROM ${image}\nRUN ${RUN}\n`);
    if (owner) await shell(`chown -R ${owner.uid}:${owner.gid} ${directory}`);
    const common = { cwd: directory, env: { HOME: path.join(directory, 'home') }, ...(owner ? { user: owner } : {}) };
    const clean = owner ? `unshare --user --map-auto --map-root-user` : '';
    const wipe = (names: string) => async () => shell(`${clean} rm -rf ${names}`, common);
    const buildah = `buildah ${owner ? '' : STORAGE} bud --isolation chroot --tls-verify=false`;
    const stk = `node ${copy}/stk.js build --progress plain`;
    const cold: Command[] = [
      { name: 'buildah bud', script: `${buildah} -t app context`, prepare: wipe('storage run home/.local'), ...common },
      { name: 'stk build', script: stk, prepare: wipe('oci .stk'), ...common },
    ];
    report(`cold build, ${title}`, await sideBySide(cold, 3));
    const unchanged: Command[] = [
      { name: 'node -e 0', script: 'node -e 0', ...common },
      { name: 'buildah bud --layers', script: `${buildah} --layers -t app context`, ...common },
      { name: 'stk build', script: stk, ...common },
    ];
    for (const command of unchanged) await shell(command.script, common);
    report(`unchanged build, ${title}`, await sideBySide(unchanged, 7));
    await wipe('storage run home/.local oci .stk')();
  }
}

/** A layer of about 500 MB: the base several times under different names, with data that does not compress. */
async function conversion(): Promise<void> {
  const directory = path.join(home, 'convert');
  await shell(
    `mkdir -p ${directory}/root && cd ${directory} && for n in 1 2; do mkdir root/$n && tar -C root/$n -xf ${base}; done &&
     head -c 150M /dev/urandom > root/random && tar -C root -cf big.tar . && gzip -1 -k big.tar && rm -rf root &&
     umoci init --layout oci-tar && umoci new --image oci-tar:big && umoci raw add-layer --image oci-tar:big big.tar && rm big.tar`,
  );
  await writeFile(
    path.join(directory, 'stacker.yaml'),
    JSON.stringify({ big: { from: { type: 'tar', url: 'big.tar.gz' } } }),
  );
  const wipe = (names: string) => async () => shell(`rm -rf ${names}`, { cwd: directory });
  const tar2sqfs = 'gunzip -c big.tar.gz | tar2sqfs -q -f -c zstd -X level=9 -b 131072 out.sqfs';
  const commands: Command[] = [
    { name: 'gunzip | tar2sqfs', script: tar2sqfs, cwd: directory, prepare: wipe('out.sqfs') },
    { name: 'stk build from tar', script: `node ${cli} build`, cwd: directory, prepare: wipe('oci .stk') },
    {
      name: 'stk build --no-verity',
      script: `node ${cli} build --no-verity`,
      cwd: directory,
      prepare: wipe('oci .stk'),
    },
    {
      name: 'umoci unpack',
      script: 'umoci unpack --image oci-tar:big bundle',
      cwd: directory,
      prepare: wipe('bundle'),
    },
  ];
  report('conversion of a large tar.gz', await sideBySide(commands, 3));
}

async function account(name: string): Promise<{ readonly uid: number; readonly gid: number }> {
  const row = (await readFile('/etc/passwd', 'utf8')).split('\n').find(line => line.startsWith(`${name}:`));
  if (!row) throw new Error(`there is no user ${name}; ./setup --tests makes one`);
  const [, , uid, gid] = row.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}
