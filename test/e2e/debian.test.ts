import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { execa } from 'execa';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listDirectory, listImage, readManifest, type TreeListing } from '../rig/tree-listing.ts';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

requires('root', 'overlay', 'fuse', 'registry', 'debian-base', 'tool:buildah', 'tool:umoci', 'tool:skopeo');

/** The same steps for both builders: packages, deletions, replacements of every kind, capabilities, xattrs, owners. */
const STEPS = [
  'apt-get update',
  'apt-get install -y --no-install-recommends hello attr libcap2-bin',
  'rm /etc/issue',
  'rm -r /etc/cron.daily',
  'rm -r /usr/share/bug && echo file > /usr/share/bug',
  'rm /etc/issue.net && mkdir /etc/issue.net && echo inside > /etc/issue.net/inside',
  'rm -r /etc/skel && mkdir /etc/skel && echo only > /etc/skel/only',
  'setcap cap_net_raw+ep /usr/bin/hello',
  'setfattr -n user.note -v hi /etc/debian_version',
  'ln /usr/bin/hello /usr/bin/hello-again',
  'ln -s /nowhere /etc/dangling',
  'mkdir -m 1777 /srv/shared && chown 1000:33 /srv/shared && touch /srv/shared/f && chmod 4750 /srv/shared/f',
  'mkfifo /srv/fifo',
  'truncate -s 100M /srv/sparse && echo end >> /srv/sparse',
  'mv /usr/share/base-files /usr/share/base-moved',
];

/** What differs from one run to the next, and what the builders put there for themselves. */
const EXCEPT =
  /^(var\/log\/|var\/cache\/|var\/lib\/apt\/lists|etc\/(hosts|hostname|resolv\.conf|mtab)$|run\/|(dev|proc|sys)(\/|$)|var\/lib\/dpkg\/triggers\/Lock|var\/lib\/dpkg\/lock)/;

let home: string;
let registry: DockerRegistry;
let base: string;
let expected: TreeListing;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-debian-'));
  registry = await DockerRegistry.start();
  base = `${registry.host}/debian:bookworm`;
  await pushBase();
  expected = await buildWithBuildah();
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

async function pushBase(): Promise<void> {
  const layout = path.join(home, 'base');
  const tar = inject('stk').debianBase!;
  await execa('umoci', ['init', '--layout', layout]);
  await execa('umoci', ['new', '--image', `${layout}:base`]);
  await execa('umoci', ['raw', 'add-layer', '--image', `${layout}:base`, tar]);
  await execa('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:base`, `docker://${base}`]);
}

async function buildWithBuildah(): Promise<TreeListing> {
  const context = path.join(home, 'context');
  await execa('mkdir', [context]);
  await writeFile(path.join(context, 'Dockerfile'), `FROM ${base}\nRUN ${STEPS.join(' && ')}\n`);
  const storage = [
    '--root',
    path.join(home, 'storage'),
    '--runroot',
    path.join(home, 'run'),
    '--storage-driver',
    'vfs',
  ];
  const build = [...storage, 'bud', '--isolation', 'chroot', '--tls-verify=false', '-t', 'app', context];
  await execa('buildah', build);
  await execa('buildah', [...storage, 'push', 'app', `oci:${home}/buildah:app`]);
  await execa('umoci', ['unpack', '--image', `${home}/buildah:app`, `${home}/unpacked`]);
  return listDirectory(`${home}/unpacked/rootfs`);
}

describe.each(['root', 'user'] as const)('a Debian image built as %s', actor => {
  it('is path by path what buildah makes of the same steps', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('stacker.yaml', { app: { from: `docker://${base}`, run: STEPS } });
    await rig.ok(['build', '--progress', 'plain']);
    const found = await listImage(rig.path('oci'), 'app');
    expect(found.size).toBeGreaterThan(5000);
    expect(differences(found, expected, EXCEPT)).toEqual([]);
    expect((await readManifest(rig.path('oci'), 'app')).layers).toHaveLength(2);
  });
});

it('skopeo and umoci read the layout, and a tar image unpacks to the same tree', async () => {
  await using rig = await StkRig.open({ as: 'root' });
  await rig.write('stacker.yaml', { app: { from: `docker://${base}`, run: STEPS, cmd: ['/usr/bin/hello'] } });
  await rig.ok(['build', '--layer-type', 'squashfs', '--layer-type', 'tar']);
  const listed = await execa('umoci', ['ls', '--layout', rig.path('oci')]);
  expect(listed.stdout.split('\n').toSorted()).toEqual(['app', 'app-tar']);
  const inspected = await execa('skopeo', ['inspect', '--config', `oci:${rig.path('oci')}:app`]);
  expect(JSON.parse(inspected.stdout)).toMatchObject({ config: { Cmd: ['/usr/bin/hello'] }, author: 'stk' });
  await execa('umoci', ['unpack', '--image', `${rig.path('oci')}:app-tar`, rig.path('unpacked')]);
  const unpacked = await listDirectory(rig.path('unpacked/rootfs'));
  expect(differences(unpacked, expected, EXCEPT)).toEqual([]);
});
