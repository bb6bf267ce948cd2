import { expect, inject, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { packDirectory, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'kernel-squashfs', 'tool:busybox');

/** An image whose root directory nobody may write into, and only its owner list. */
async function openRig(actor: Actor): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await script(rig, 'root', 'mkdir -p tree/bin tree/etc; cp /bin/busybox tree/bin/; chmod 511 tree; chown 5:5 tree');
  await writeImage(rig.path('oci'), 'app', [{ bytes: await packDirectory(rig.path('tree')) }]);
  if (actor === 'user') await script(rig, 'root', 'chown -R --reference home oci');
  return rig;
}

/** Where nobody else is let in by default. */
function privately(rig: StkRig, actor: Actor, text: string): Promise<string> {
  const { node, cli } = inject('stk');
  return script(rig, actor, `umask 077; stk() { "${node}" "${cli}" "$@"; }; ${text}`);
}

/** The root directory of an image, for real root. */
function rootOf(rig: StkRig, tag: string): Promise<string> {
  return privately(rig, 'root', `mkdir k; stk mount ${tag} k >&2; stat -c '%a %u:%g' k; stk umount k >&2`);
}

it.each<[Actor, string, string]>([
  ['root', '511 5:5', '511 5:5'],
  // A mount by an ordinary user is all the user's own, who can write, and root's in the image.
  ['user', '711 own', '711 0:0'],
])("with a new upper directory of %s, / is the image's", async (actor, mounted, committed) => {
  await using rig = await openRig(actor);
  const own = await privately(rig, actor, 'echo "$(id -u):$(id -g)"');
  for (const options of ['--upper up', '--rw']) {
    const look = `stk mount app m ${options} >&2; touch m/new m/etc/new; stat -c '%a %u:%g' m; stk umount m >&2`;
    expect(await privately(rig, actor, look)).toBe(mounted.replace('own', own));
  }
  await privately(rig, actor, 'stk commit up next >&2');
  expect(await rootOf(rig, 'next')).toBe(committed);
  // What was set since is kept, even where nothing else was written.
  const mount = 'stk mount app m --upper up2 >&2';
  const twice = `mkdir up2; ${mount}; chmod 751 m; stk umount m >&2; ${mount}; stat -c %a m; stk umount m >&2`;
  expect(await privately(rig, actor, twice)).toBe('751');
});

it.each<Actor>(['root', 'user'])("in a container of %s that is kept, / is the image's", async actor => {
  await using rig = await openRig(actor);
  const run = "stk run --keep --name work -u 1000 -w / app /bin/busybox stat -c '%a %u:%g' /";
  expect(await privately(rig, actor, `${run}; stk commit work next >&2`)).toBe('511 5:5');
  expect(await rootOf(rig, 'next')).toBe('511 5:5');
  await rig.ok(['rm', 'work']);
});
