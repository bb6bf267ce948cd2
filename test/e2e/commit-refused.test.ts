import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { openAppRig, script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { packFile, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage } from '../rig/tree-listing.ts';

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
    [
      'an empty filesystem that is mounted in it',
      rig => script(rig, 'root', 'mkdir -p d/e; mount -t tmpfs none d/e'),
      ['d', 'x', '--base', 'app'],
      12,
      /is a mount point/,
    ],
    ['no such base', rig => mkdir(rig.path('d')), ['d', 'x', '--base', 'none'], 8, /no image none/],
    ['a tag with a space', rig => mkdir(rig.path('d')), ['d', 'a b'], 2, /no tag/],
    ['a tag of dots', rig => mkdir(rig.path('d')), ['d', '../x'], 2, /no known transport/],
    ['an empty tag', rig => mkdir(rig.path('d')), ['d', ''], 2, /no tag/],
    ['a path in an image', rig => mkdir(rig.path('d')), ['d', 'x:/etc'], 2, /names a path in an image/],
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
    for (const place of ['d/e', 'd']) await execa('umount', [rig.path(place)], { reject: false });
    expect(refused.stderr).toMatch(text);
    expect(refused.exitCode).toBe(exitCode);
    expect(await readFile(rig.path('oci/index.json'), 'utf8')).toBe(index);
    expect((await readdir(rig.directory)).filter(name => name.startsWith('.stk-'))).toEqual([]);
  });

  it('what is mounted, and mounts of what is being committed', async () => {
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('user');
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
