import { describe, expect, inject, it } from 'vitest';
import { containersHome, createContainer } from '../../src/container/container-record.ts';
import type { Digest } from '../../src/core/digest.ts';
import type { AbsPath } from '../../src/core/paths.ts';
import { CHANGES, LIST, openAppRig, script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { listImage } from '../rig/tree-listing.ts';

describe.each(['root', 'user'] as const)('a kept container of %s', actor => {
  requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:busybox');

  it('is committed on the image it was made of, once it has ended', async () => {
    await using rig = await openAppRig(actor);
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
    for (const what of ['work', container.upper]) {
      const running = await rig.stk(['commit', what, 'app2']);
      expect(running).toMatchObject({ exitCode: 12, stderr: expect.stringContaining('in use') as string });
    }
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
      await using rig = await openAppRig(actor);
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
