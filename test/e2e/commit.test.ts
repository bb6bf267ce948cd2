import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { containersHome, createContainer } from '../../src/container/container-record.ts';
import type { Digest } from '../../src/core/digest.ts';
import type { AbsPath } from '../../src/core/paths.ts';
import { requires } from '../rig/gates.ts';
import { inspectImage } from '../rig/shell-image.ts';
import { packFile, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import {
  blobPath,
  differences,
  listDirectory,
  listImage,
  readManifest,
  type TreeListing,
} from '../rig/tree-listing.ts';
import { commandAs, type Actor } from '../rig/users.ts';

/** Owners, times and sizes of directories aside, a tree as its own user sees it; no quotes of the shell in it. */
const LIST = [
  'find . -mindepth 1 -type d -printf "%P %y %m\\n" | sort',
  'find . ! -type d -printf "%P %y %m %l %s\\n" | sort',
  'find . -type f -print0 | sort -z | xargs -0 sha256sum',
].join('; ');

/** A base of two layers. */
const TREE = `
  mkdir -p etc/keep srv/data/deep usr/bin var/gone many
  echo base > etc/file; echo gone > etc/gone; echo deep > srv/data/deep/f; echo v > var/gone/f
  cp /bin/busybox usr/bin/tool; cp usr/bin/tool usr/bin/busybox; for n in 1 2 3; do echo $n > many/$n; done; ln -s ../etc/file many/link
  echo linked > a; ln a b`;

/** Every kind of change that an overlay knows; nothing of it needs rights. */
const CHANGES = `
  echo more >> etc/file; rm etc/gone; rm -r var/gone; mkdir var/gone; echo new > var/gone/g
  rm -r srv/data; ln -s /etc srv/data; chmod 700 many; rm many/2; mv many/3 many/three; ln many/1 many/one
  ln etc/file etc/second; mkdir -p new/dir; echo x > new/dir/x; ln new/dir/x new/y; touch usr/bin/tool
  ln b c; rm a; ln -sfn nowhere many/link; truncate -s 1M new/sparse; printf '\\346\\227\\245' > 'new/a b'
  echo n > "$(printf 'new/\\377\\376')"`;

async function openRig(actor: Actor): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await script(rig, 'root', `mkdir tree && cd tree && ${TREE} && tar -cf ../base.tar .; cd ..; rm -r tree`);
  await rig.write('file', 'of the upper layer\n');
  await rig.write('stacker.yaml', {
    app: { from: { type: 'tar', url: 'base.tar' }, imports: [{ path: 'file', dest: '/etc/keep/' }], cmd: ['/bin/app'] },
  });
  await rig.ok(['build']);
  return rig;
}

async function script(rig: StkRig, actor: Actor, text: string): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: rig.path('home') };
  const { file, args, identity } = await commandAs(actor, ['sh', '-ec', text], env);
  const { stdout } = await execa(file, args, { ...identity, cwd: rig.directory, env, extendEnv: false });
  return stdout;
}

/** Mounts the image with a lasting upper, changes it, and unmounts it again; returns what the changed tree looked like. */
async function change(rig: StkRig, actor: Actor, text: string, image = 'app', upper = 'up'): Promise<string> {
  await rig.ok(['mount', image, 'm', '--upper', upper]);
  const listing = await script(rig, actor, `cd m; ${text}\n${LIST}`);
  await rig.ok(['umount', 'm']);
  return listing;
}

/** The uppermost layer of an image, unpacked. */
async function listLayer(rig: StkRig, tag: string): Promise<TreeListing> {
  const { layers } = await readManifest(rig.path('oci'), tag);
  const blob = blobPath(rig.path('oci'), layers.at(-1)!.digest);
  await script(rig, 'root', `unsquashfs -q -n -d layer ${blob} > /dev/null`);
  return listDirectory(rig.path('layer'));
}

describe('as root, a committed image', () => {
  requires('root', 'kernel-squashfs', 'fuse', 'tool:umoci', 'tool:busybox', 'tool:setcap', 'tool:setfattr');

  it('equals what was seen, for the kernel and, as tar layers, for umoci', async () => {
    await using rig = await openRig('root');
    await rig.ok(['mount', 'app', 'm', '--upper', 'up']);
    await script(
      rig,
      'root',
      `cd m; ${CHANGES}
      chown 33:44 new/dir/x many; setcap cap_net_raw+ep usr/bin/tool; chmod 4755 etc/file
      setfattr -n user.kind -v test etc/keep; mknod new/null c 1 3; mkfifo new/pipe; mknod new/disk b 7 0`,
    );
    const seen = await listDirectory(rig.path('m'));
    await rig.ok(['umount', 'm']);
    await rig.ok(['commit', 'up', 'app2']);
    expect(seen.get('usr/bin/tool')).toContain('security.capability');
    expect(differences(seen, await listImage(rig.path('oci'), 'app2'), /^$/)).toEqual([]);
    await rig.ok(['convert', 'oci:oci:app2', 'oci:tar:app2', '--layer-type', 'tar']);
    await script(rig, 'root', 'umoci unpack --image tar:app2 unpacked');
    expect(differences(seen, await listDirectory(rig.path('unpacked/rootfs')), /^$/)).toEqual([]);
    const links = await script(rig, 'root', 'cd unpacked/rootfs; stat -c "%h %n" etc/file new/y c many/one');
    expect(links).toBe('2 etc/file\n2 new/y\n2 c\n2 many/one');
  });

  it('leaves the upper directory as it was, for going on', async () => {
    await using rig = await openRig('root');
    await change(rig, 'root', CHANGES);
    const marks = () => script(rig, 'root', 'cd up; find . | sort; find . -type d | sort | xargs getfattr -dm -');
    const before = await marks();
    expect(before).toContain('user.overlay.opaque');
    await rig.ok(['commit', 'up', 'one']);
    expect(await marks()).toBe(before);
    expect((await readdir(rig.directory)).filter(name => name.startsWith('.stk-'))).toEqual([]);
    await change(rig, 'root', 'echo later > later; rm new/y');
    await rig.ok(['commit', 'up', 'two']);
    expect((await listImage(rig.path('oci'), 'two')).has('later')).toBe(true);
    expect((await listImage(rig.path('oci'), 'one')).has('later')).toBe(false);
  });

  it('has one more layer, its history, and the changes that were asked for', async () => {
    await using rig = await openRig('root');
    await change(rig, 'root', 'echo x > x');
    const changes = ['--change', 'ENTRYPOINT ["/bin/other"]', '--change', 'ENV A="b c"', '--change', 'LABEL k=v'];
    await rig.ok(['commit', 'up', 'app:tuned', '-m', 'set it up', '-a', 'somebody', ...changes]);
    const [base, image] = [await inspectImage(rig, 'app'), await inspectImage(rig, 'app:tuned')];
    expect(image.layers.slice(0, -1).map(layer => layer.digest)).toEqual(base.layers.map(layer => layer.digest));
    expect(image.layers.at(-1)).toMatchObject({ role: 'commit' });
    expect(image.config).toMatchObject({
      author: 'somebody',
      config: { Entrypoint: ['/bin/other'], Env: ['A=b c'], Labels: { k: 'v' } },
    });
    expect(image.config.config).not.toHaveProperty('Cmd');
    expect(image.config.history.at(-1)).toMatchObject({
      created_by: 'stk commit',
      comment: 'set it up',
      author: 'somebody',
    });
    expect(image.annotations).toMatchObject({ 'org.opencontainers.image.base.name': 'app' });
    await rig.ok(['verify', 'app:tuned']);
  });

  it('is the same, byte for byte, at the same epoch', async () => {
    await using rig = await openRig('root');
    const env = { SOURCE_DATE_EPOCH: '1700000000' };
    await change(rig, 'root', CHANGES);
    const one = await rig.ok(['commit', 'up', 'app2'], { env });
    await script(rig, 'root', 'cp -a up copy');
    expect(await rig.ok(['commit', 'copy', 'app2'], { env })).toBe(one);
    const { created } = (await inspectImage(rig, 'app2')).config as unknown as { readonly created: string };
    expect(created).toBe('2023-11-14T22:13:20.000Z');
  });

  it('of nothing written has no layer of its own, but says so', async () => {
    await using rig = await openRig('root');
    await change(rig, 'root', 'true');
    const { stderr, exitCode } = await rig.stk(['commit', 'up', 'same', '-c', 'USER 7']);
    expect({ stderr, exitCode }).toEqual({
      exitCode: 0,
      stderr: expect.stringMatching(/nothing was written/) as string,
    });
    const [base, image] = [await inspectImage(rig, 'app'), await inspectImage(rig, 'same')];
    expect(image.layers.map(layer => layer.digest)).toEqual(base.layers.map(layer => layer.digest));
    expect(image.config.history.at(-1)).toMatchObject({ empty_layer: true });
    expect(image.config.config).toMatchObject({ User: '7' });
  });

  it('goes into another layout with everything it needs, on a base that is named or remembered by its digest', async () => {
    await using rig = await openRig('root');
    await change(rig, 'root', 'echo x > x');
    // The tag moves on; the upper directory was written on what it was.
    await writeImage(rig.path('oci'), 'other', [{ bytes: await packFile('other', '') }]);
    const before = await inspectImage(rig, 'app');
    await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ path: 'stacker.yaml', dest: '/only' }] } });
    await rig.ok(['build']);
    await rig.ok(['commit', 'up', 'oci:else:new']);
    const listing = await listImage(rig.path('else'), 'new');
    expect([listing.has('x'), listing.has('etc/file'), listing.has('only')]).toEqual([true, true, false]);
    expect((await inspectImage(rig, 'oci:else:new')).layers).toHaveLength(before.layers.length + 1);
    await rig.ok(['verify', 'oci:else:new']);
    await rig.ok(['commit', 'up', 'named', '--base', 'other']);
    expect([...(await listImage(rig.path('oci'), 'named')).keys()].toSorted()).toEqual(['other', 'x']);
  });

  it('holds no deletions of what its base never had', async () => {
    await using rig = await openRig('root');
    await change(rig, 'root', 'rm etc/gone many/1; rm -r var/gone usr; mkdir usr; echo x > srv/x');
    await script(rig, 'root', 'mknod up/usr/odd c 0 0; mknod up/none c 0 0; mkdir up/fresh; mknod up/fresh/w c 0 0');
    await rig.ok(['commit', 'up', 'app2']);
    const names = [...(await listLayer(rig, 'app2')).entries()]
      .filter(([, text]) => text.startsWith('c '))
      .map(([name]) => name);
    expect(names.toSorted()).toEqual(['etc/gone', 'many/1', 'var/gone']);
    expect(await script(rig, 'root', 'cd up; find . -type c | sort')).toContain('./fresh/w');
  });

  it.each(['SIGKILL', 'SIGINT'] as const)('is not there after %s, and the next one is whole', async signal => {
    await using rig = await openRig('root');
    const listing = await change(rig, 'root', 'head -c 48M /dev/urandom > random');
    const commit = await rig.start(['commit', 'up', 'app2', '--progress', 'json']);
    await commit.said(/"kind":"pack"/);
    commit.kill(signal);
    expect((await commit.done).exitCode).toBe(signal === 'SIGINT' ? 130 : undefined);
    expect((await execa('umoci', ['ls', '--layout', rig.path('oci')])).stdout).toBe('app');
    await rig.ok(['commit', 'up', 'app2']);
    await rig.ok(['gc']);
    expect((await readdir(rig.directory)).filter(name => name.startsWith('.stk-'))).toEqual([]);
    expect((await readdir(rig.path('oci'))).filter(name => name.startsWith('.stk-'))).toEqual([]);
    await rig.ok(['mount', 'app2', 'm']);
    expect(await script(rig, 'root', `cd m; ${LIST}`)).toBe(listing);
    await rig.ok(['umount', 'm']);
  });
});

describe('as an ordinary user, a committed image equals what was seen', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:fuse-overlayfs', 'tool:busybox');

  it('through fuse-overlayfs, all of it owned by root', async () => {
    await using rig = await openRig('user');
    const seen = await change(rig, 'user', CHANGES);
    await rig.ok(['commit', 'up', 'app2']);
    // Writable, it is all shown as the user's, who can then read it.
    await rig.ok(['mount', 'app2', 'm', '--rw']);
    expect(await script(rig, 'user', `cd m; ${LIST}`)).toBe(seen);
    await rig.ok(['umount', 'm']);
    const kernel = await listImage(rig.path('oci'), 'app2');
    expect([...kernel.keys()].filter(name => name.includes('.wh.'))).toEqual([]);
    expect(kernel.get('new/dir/x')).toMatch(/^f 644 0:0 /);
    // A second round stands on what the first one left.
    const again = await change(rig, 'user', 'rm -r new; mkdir new; echo 2 > new/2', 'app2', 'up2');
    await rig.ok(['commit', 'up2', 'app3']);
    await rig.ok(['mount', 'app3', 'm', '--rw']);
    expect(await script(rig, 'user', `cd m; ${LIST}`)).toBe(again);
    await rig.ok(['umount', 'm']);
  });

  it('inside of a user namespace, owners included', async () => {
    await using rig = await openRig('user');
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli}`;
    const inside = `${stk} mount app m --upper up > /dev/null; cd m; ${CHANGES}\nchown 33:44 new/dir/x; ${LIST}; cd ..; ${stk} umount m > /dev/null`;
    await rig.write('inside', inside);
    const namespaces = 'unshare --user --map-auto --map-root-user --mount';
    const seen = await script(rig, 'user', `${namespaces} sh -e inside`);
    await rig.ok(['commit', 'up', 'app2']);
    await script(rig, 'root', `mkdir k`);
    const kernel = await listImage(rig.path('oci'), 'app2');
    expect(kernel.get('new/dir/x')).toMatch(/^f 644 33:44 /);
    await rig.ok(['mount', 'app2', 'k'], { as: 'root' });
    expect(await script(rig, 'root', `cd k; ${LIST}`)).toBe(seen);
    await rig.ok(['umount', 'k'], { as: 'root' });
    await rig.ok(['mounts', '--repair']);
  });
});

describe.each(['root', 'user'] as const)('a kept container of %s', actor => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:busybox');

  it('is committed on the image it was made of, once it has ended', async () => {
    await using rig = await openRig(actor);
    const digest = (await rig.ok(['inspect', 'app', '--json'])).match(/"digest":"(sha256:[0-9a-f]{64})"/)![1] as Digest;
    const container = await createContainer(containersHome(rig.path('.stk') as AbsPath), {
      name: 'work',
      layout: rig.path('oci') as AbsPath,
      tag: 'app',
      digest,
      rootless: actor === 'user',
      command: ['/bin/app'],
      createdAt: new Date().toISOString(),
    });
    if (actor === 'user') await script(rig, 'root', `chown -R --reference oci ${container.directory}`);
    const { node, cli } = inject('stk');
    const stk = `${node} ${cli}`;
    await rig.write(
      'inside',
      `${stk} mount app m --upper ${container.upper} > /dev/null; cd m; ${CHANGES}\nchown 33:44 new/dir/x; ${LIST}; cd ..; ${stk} umount m > /dev/null`,
    );
    const namespaces = actor === 'user' ? 'unshare --user --map-auto --map-root-user --mount' : '';
    const seen = await script(rig, actor, `${namespaces} sh -e inside`);
    const running = await rig.stk(['commit', 'work', 'app2']);
    expect(running).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('in use') as string });
    await container[Symbol.asyncDispose]();
    expect((await rig.stk(['commit', 'work', 'app2', '--base', 'app'])).exitCode).toBe(2);
    // Collection leaves alone what a container stands on, even where no tag names it any more.
    await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ path: 'stacker.yaml', dest: '/only' }] } });
    await rig.ok(['build']);
    await rig.ok(['gc', '--no-keep-cache']);
    await rig.ok(['commit', 'work', 'app2']);
    await script(rig, 'root', 'mkdir k');
    await rig.ok(['mount', 'app2', 'k'], { as: 'root' });
    expect(await script(rig, 'root', `cd k; ${LIST}`)).toBe(seen);
    expect(await script(rig, 'root', 'stat -c %u:%g k/new/dir/x')).toBe('33:44');
    await rig.ok(['umount', 'k'], { as: 'root' });
    if (actor === 'user') {
      const foreign = await rig.stk(['commit', 'work', 'app3'], { as: 'root' });
      expect(foreign).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('made by') as string });
      await rig.ok(['mounts', '--repair']);
    }
  });
});

describe('with stk run', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:busybox', 'tool:bwrap');

  it.each(['root', 'user'] as const)(
    'what a container of %s was told to keep runs as an image of its own',
    async actor => {
      await using rig = await openRig(actor);
      const shell = ['/usr/bin/busybox', 'sh', '-c'];
      await rig.ok([
        'run',
        '--name',
        'work',
        '--keep',
        'app',
        ...shell,
        'cd etc; echo kept > kept; /usr/bin/busybox rm gone',
      ]);
      await rig.ok(['commit', 'work', 'app2', '-c', 'CMD ["/usr/bin/busybox", "cat", "/etc/kept"]']);
      expect(await rig.ok(['run', 'app2'])).toBe('kept\n');
      const layer = await listImage(rig.path('oci'), 'app2');
      expect([layer.has('etc/gone'), layer.has('proc')]).toEqual([false, false]);
      await rig.ok(['rm', 'work']);
    },
  );
});

describe('refused', () => {
  requires('root', 'kernel-squashfs', 'fuse', 'tool:busybox', 'tool:setfattr');

  it.each<[string, (rig: StkRig) => Promise<unknown>, readonly string[], number, RegExp]>([
    ['no such thing', async () => {}, ['none', 'x'], 8, /no container named none, and no directory/],
    ['an empty name', async () => {}, ['', 'x'], 8, /no container or directory/],
    ['a file', rig => rig.write('f', ''), ['f', 'x'], 9, /no directory/],
    ['a directory that nobody mounted', rig => mkdir(rig.path('d')), ['d', 'x'], 2, /--base REF/],
    ['the root of the host', async () => {}, ['/', 'x', '--base', 'app'], 2, /no upper directory/],
    [
      'a mount point',
      rig => script(rig, 'root', 'mkdir d; mount --bind d d; touch d/f'),
      ['d', 'x', '--base', 'app'],
      12,
      /is a mount point/,
    ],
    ['no such base', rig => mkdir(rig.path('d')), ['d', 'x', '--base', 'none'], 8, /no image none/],
    ['a tag with a space', rig => mkdir(rig.path('d')), ['d', 'a b'], 2, /no tag/],
    ['a tag of dots', rig => mkdir(rig.path('d')), ['d', '../x'], 2, /no tag/],
    ['an empty tag', rig => mkdir(rig.path('d')), ['d', ''], 2, /no tag/],
    ['a path in an image', rig => mkdir(rig.path('d')), ['d', 'x:/etc'], 2, /no tag/],
    ['a registry', rig => mkdir(rig.path('d')), ['d', 'docker://h/x:1'], 2, /stk publish/],
    ['a layout without tag', rig => mkdir(rig.path('d')), ['d', 'oci:dir'], 2, /oci:DIR:TAG/],
    ['a bad change', rig => mkdir(rig.path('d')), ['d', 'x', '-c', 'RUN x'], 2, /RUN cannot be changed/],
    [
      'a note of a base that is nonsense',
      rig => script(rig, 'root', 'mkdir d; setfattr -n user.overlay.stk.base -v {} d'),
      ['d', 'x'],
      2,
      /--base REF/,
    ],
    [
      'a reference into lower layers',
      rig => script(rig, 'root', 'mkdir -p d/e; setfattr -n trusted.overlay.redirect -v /x d/e'),
      ['d', 'x', '--base', 'app'],
      9,
      /reference into a lower layer/,
    ],
    [
      'owners kept in xattrs',
      rig => script(rig, 'root', 'mkdir d; touch d/f; setfattr -n user.containers.override_stat -v 0:0:0644 d/f'),
      ['d', 'x', '--base', 'app'],
      9,
      /owner and mode in an xattr/,
    ],
  ])('%s', async (_name, prepare, args, exitCode, text) => {
    await using rig = await StkRig.open({ as: 'root' });
    await writeImage(rig.path('oci'), 'app', [{ bytes: await packFile('file', '') }]);
    const index = await readFile(rig.path('oci/index.json'), 'utf8');
    await prepare(rig);
    const refused = await rig.stk(['commit', ...args]);
    await execa('umount', [rig.path('d')], { reject: false });
    expect(refused.stderr).toMatch(text);
    expect(refused.exitCode).toBe(exitCode);
    expect(await readFile(rig.path('oci/index.json'), 'utf8')).toBe(index);
    expect((await readdir(rig.directory)).filter(name => name.startsWith('.stk-'))).toEqual([]);
  });

  it('what is mounted, and mounts of what is being committed', async () => {
    await using rig = await openRig('root');
    await rig.ok(['mount', 'app', 'm', '--upper', 'up']);
    const refused = await rig.stk(['commit', 'up', 'x']);
    expect(refused).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('stk umount') as string });
    await rig.ok(['umount', 'm']);
    const holder = execa('flock', ['--shared', rig.path('up'), 'sh', '-c', 'echo held; read line'], { stdin: 'pipe' });
    await new Promise(resolve => holder.stdout.once('data', resolve));
    const mount = await rig.stk(['mount', 'app', 'm', '--upper', 'up']);
    expect(mount).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('being committed') as string });
    holder.stdin.end('\n');
    await holder;
    await rig.ok(['mount', 'app', 'm', '--upper', 'up']);
    await rig.ok(['umount', 'm']);
  });

  it('files of others, for an ordinary user; sockets are left out with a word', async () => {
    await using rig = await openRig('user');
    await script(rig, 'user', 'mkdir up');
    await writeFile(rig.path('up/secret'), '');
    await chmod(rig.path('up/secret'), 0o600);
    const refused = await rig.stk(['commit', 'up', 'x', '--base', 'app']);
    expect(refused).toMatchObject({ exitCode: 6, stderr: expect.stringContaining('belong to others') as string });
    await script(rig, 'root', 'rm up/secret');
    const bind = "import socket; socket.socket(socket.AF_UNIX).bind('up/sock')";
    await script(rig, 'user', `echo x > up/x; python3 -c "${bind}"`);
    const { exitCode, stderr } = await rig.stk(['commit', 'up', 'x', '--base', 'app']);
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining('up/sock'.slice(3)) as string,
    });
    const listing = await listImage(rig.path('oci'), 'x');
    expect([listing.has('x'), listing.has('sock')]).toEqual([true, false]);
  });
});
