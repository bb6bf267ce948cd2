import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { report, shell, sideBySide, type Command, type Measurement } from './rig.ts';

/**
 * Rolling a new version of a shared package through application images of about 500 MB in a loopback registry, beside
 * `buildah bud` and push of the same images; the same change in ever larger images; listing an image's paths beside
 * unsquashfs. Run as root: `npm run bench update BASE.tar [APPLICATIONS [BUILT BY BUILDAH]]`, where BASE.tar is a Debian
 * root filesystem made by mmdebstrap. What buildah needs for all applications is extrapolated from the ones that it builds.
 */
const [base, applications = '20', byBuildah = '3'] = process.argv.slice(2);
if (base === undefined) throw new Error('usage: npm run bench update BASE.tar [APPLICATIONS [BUILT BY BUILDAH]]');
const count = Number(applications);
const built = Math.min(count, Number(byBuildah));
const RUNTIME_MB = 420;
const OWN_MB = 20;
const STORAGE = '--storage-driver overlay --root storage --runroot run';
const stk = `node ${path.resolve('dist/stk.js')}`;
const home = await mkdtemp(path.join(os.tmpdir(), 'stk-bench-'));
const inHome = { cwd: home, env: { BUILDAH_ISOLATION: 'chroot' } };
const registry = await DockerRegistry.start();
const counter = await countBytes(registry.host);
const at = (name: string) => `docker://${counter.host}/team/${name}`;
try {
  await prepare();
  await rollOut();
  await growth();
  await listing();
} finally {
  counter.close();
  await registry[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
}

/** Package `ssl` in one version, and the files that nobody can compress. */
async function prepare(): Promise<void> {
  await shell(`cp ${path.resolve(base!)} base.tar`, inHome);
  await writePackage('1.0');
  await fill('runtime', RUNTIME_MB);
  const apps = Array.from({ length: count }, (_, index) => `app-${index}`);
  for (const app of apps) await fill(app, OWN_MB);
  await writeFile(
    path.join(home, 'stacker.yaml'),
    JSON.stringify({
      debian: { from: { type: 'tar', url: 'base.tar' } },
      base: { from: { type: 'built', tag: 'debian' }, imports: [{ path: 'runtime', dest: '/opt/' }] },
      ssl: { from: { type: 'built', tag: 'base' }, imports: ['ssl.deb'], run: 'dpkg -i /stacker/imports/ssl.deb' },
      ...Object.fromEntries(apps.map(app => [app, application(app)])),
    }),
  );
  await shell(`${stk} build`, inHome);
  for (const name of ['ssl', ...apps]) await shell(`${stk} publish ${name} ${at(name)}:1`, inHome);
}

/** Each has a step of its own that installed something, so that its copy of the package database has to be reconciled. */
function application(name: string): object {
  return {
    from: { type: 'built', tag: 'base' },
    apply: ['ssl'],
    imports: [{ path: name, dest: '/srv/' }, 'own.deb'],
    run: 'dpkg -i /stacker/imports/own.deb',
  };
}

async function rollOut(): Promise<void> {
  const dockerfile = (index: number) =>
    `FROM ${counter.host}/team/base-tar:1\nCOPY ssl.deb /tmp/\nRUN dpkg -i /tmp/ssl.deb\nCOPY app-${index} /srv/app-${index}\nCOPY own.deb /tmp/\nRUN dpkg -i /tmp/own.deb\n`;
  for (let index = 0; index < built; index++)
    await writeFile(path.join(home, `Dockerfile.${index}`), dockerfile(index));
  await shell(`${stk} convert base ${at('base-tar')}:1 --layer-type tar`, inHome);
  const build = (index: number) =>
    `buildah ${STORAGE} bud --layers --tls-verify=false -q -t app-${index} -f Dockerfile.${index} . && buildah ${STORAGE} push -q --tls-verify=false app-${index} ${at(`buildah-${index}`)}:1`;
  // The first builds, which fetch the base, are not counted for buildah.
  await shell(Array.from({ length: built }, (_, index) => build(index)).join('\n'), inHome);
  await writePackage('1.1');
  let [moved, before] = [new Map<string, number>(), 0];
  const counted = (command: Command): Command => ({
    ...command,
    prepare: async () => {
      await command.prepare?.();
      [before, current] = [counter.bytes(), command.name];
    },
  });
  let current = '';
  const note = () => void moved.set(current, counter.bytes() - before);
  const commands = [
    {
      name: 'stk: build and publish ssl',
      script: `${stk} build ssl && ${stk} publish ssl ${at('ssl')}:2`,
      ...inHome,
    },
    {
      name: `stk: update ${count}`,
      script: `${stk} update --all --apply ssl=${at('ssl')}:2 ${at('')}`,
      ...inHome,
    },
    {
      name: `buildah bud and push of ${built}`,
      script: Array.from({ length: built }, (_, i) => build(i)).join('\n'),
      ...inHome,
    },
  ];
  const measured: Measurement[] = [];
  for (const command of commands) {
    measured.push(...(await sideBySide([counted(command)], 1)));
    note();
  }
  const [made, rolled, rebuilt] = measured as [Measurement, Measurement, Measurement];
  report('a new ssl in all applications', [
    { ...rolled, name: 'stk in all', seconds: made.seconds + rolled.seconds },
    ...measured,
    { ...rebuilt, name: `buildah, extrapolated to ${count}`, seconds: (rebuilt.seconds * count) / built },
  ]);
  for (const [name, bytes] of moved) {
    const extrapolated = name.startsWith('buildah') ? `, ${megabytes((bytes * count) / built)} for ${count}` : '';
    process.stdout.write(`${name}: ${megabytes(bytes)} between client and registry${extrapolated}\n`);
  }
}

/** The same change below layers of ever more files. */
async function growth(): Promise<void> {
  const sizes = [50, 100, 200, 400];
  const recipe = JSON.stringify({
    debian: { from: { type: 'tar', url: 'base.tar' } },
    fix: { from: { type: 'built', tag: 'debian' }, imports: ['ssl.deb'], run: 'dpkg -i /stacker/imports/ssl.deb' },
    ...Object.fromEntries(
      sizes.map(size => [
        `own-${size}`,
        {
          from: { type: 'built', tag: 'debian' },
          apply: ['fix'],
          imports: [{ path: `own-${size}`, dest: '/srv/' }, 'own.deb'],
          run: 'dpkg -i /stacker/imports/own.deb',
        },
      ]),
    ),
  });
  for (const size of sizes) await fill(`own-${size}`, size);
  await writeFile(path.join(home, 'growth.yaml'), recipe);
  await shell(`${stk} build -f growth.yaml`, inHome);
  for (const size of sizes) await shell(`${stk} publish own-${size} ${at(`own-${size}`)}:1`, inHome);
  await writePackage('1.2');
  await shell(`${stk} build -f growth.yaml fix && ${stk} publish fix ${at('fix')}:2`, inHome);
  const rows = [];
  for (const size of sizes) {
    const before = counter.bytes();
    const [row] = await sideBySide(
      [
        {
          name: `${size} MB of its own`,
          // Dry runs compute the same and can be repeated.
          script: `${stk} update ${at(`own-${size}`)}:1 --apply fix=${at('fix')}:2 --dry-run`,
          ...inHome,
        },
      ],
      3,
    );
    rows.push({ ...row!, name: `${row!.name}: ${megabytes((counter.bytes() - before) / 3)} moved` });
  }
  report('one update, as the image grows', rows);
}

async function listing(): Promise<void> {
  await shell(`${stk} inspect app-0 --json | jq -r '.layers[].digest[7:]' > layers`, inHome);
  report(
    'the paths of an image of about 500 MB',
    await sideBySide(
      [
        {
          name: 'unsquashfs -l of its layers',
          script: 'for l in $(cat layers); do unsquashfs -l oci/blobs/sha256/$l > list; done',
          ...inHome,
        },
        { name: 'stk ls -R', script: `${stk} ls -R app-0 > list`, ...inHome },
        { name: 'node -e 0', script: 'node -e 0', ...inHome },
      ],
      5,
    ),
  );
}

/** A package of some kilobytes, and one that stays as it is. */
async function writePackage(version: string): Promise<void> {
  for (const [name, number] of [
    ['ssl', version],
    ['own', '1'],
  ] as const) {
    const root = path.join(home, `${name}-package`);
    await mkdir(path.join(root, 'DEBIAN'), { recursive: true });
    await mkdir(path.join(root, 'usr/lib', name), { recursive: true });
    const control = `Package: ${name}\nVersion: ${number}\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: for the bench\n`;
    await writeFile(path.join(root, 'DEBIAN/control'), control);
    await writeFile(path.join(root, 'usr/lib', name, 'library'), `${name} ${number}\n`.repeat(1000));
    await shell(`dpkg-deb --root-owner-group --build ${name}-package ${name}.deb`, inHome);
  }
}

/** Files of 64 KiB that do not compress. */
async function fill(directory: string, megabytes: number): Promise<void> {
  await shell(
    `mkdir -p ${directory} && cd ${directory} && head -c ${megabytes}M /dev/urandom | split -a 4 -b 64K - file-`,
    inHome,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/** A port in front of a server that counts what goes through in both directions. */
async function countBytes(host: string): Promise<{ host: string; bytes: () => number; close: () => void }> {
  const [address, port] = host.split(':');
  let bytes = 0;
  const server = createServer(client => {
    const upstream = connect(Number(port), address);
    client.on('data', chunk => (bytes += chunk.length));
    upstream.on('data', chunk => (bytes += chunk.length));
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port: own } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${own}`, bytes: () => bytes, close: () => server.close() };
}
