import { readdir } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { CHANGES, LIST, change, openAppRig, script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { inspectImage } from '../rig/shell-image.ts';
import { packFile, writeImage } from '../rig/squashfs-image.ts';
import type { StkRig } from '../rig/stk-rig.ts';
import {
  blobPath,
  differences,
  listDirectory,
  listImage,
  readManifest,
  type TreeListing,
} from '../rig/tree-listing.ts';

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
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('root');
    await change(rig, 'root', CHANGES);
    const marks = () =>
      script(rig, 'root', 'cd up; find . -printf "%P %m %s %T@\\n" | sort; getfattr -Rhdm - . | sort');
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
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('root');
    const env = { SOURCE_DATE_EPOCH: '1700000000' };
    await change(rig, 'root', CHANGES);
    const one = await rig.ok(['commit', 'up', 'app2'], { env });
    await script(rig, 'root', 'cp -a up copy');
    expect(await rig.ok(['commit', 'copy', 'app2'], { env })).toBe(one);
    const { created } = (await inspectImage(rig, 'app2')).config as unknown as { readonly created: string };
    expect(created).toBe('2023-11-14T22:13:20.000Z');
  });

  it('of nothing written has no layer of its own, but says so', async () => {
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('root');
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
    await using rig = await openAppRig('user');
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
    const again = await change(rig, 'user', 'rm -r new; mkdir new; echo 2 > new/2', { image: 'app2', upper: 'up2' });
    await rig.ok(['commit', 'up2', 'app3']);
    await rig.ok(['mount', 'app3', 'm', '--rw']);
    expect(await script(rig, 'user', `cd m; ${LIST}`)).toBe(again);
    await rig.ok(['umount', 'm']);
  });

  it('inside of a user namespace, owners included', async () => {
    await using rig = await openAppRig('user');
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
