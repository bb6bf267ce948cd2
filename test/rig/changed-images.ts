import { execa } from 'execa';
import { StkRig } from './stk-rig.ts';
import { commandAs, type Actor } from './users.ts';

/** Owners, times and sizes of directories aside, a tree as its own user sees it; no quotes of the shell in it. */
export const LIST = [
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
export const CHANGES = `
  echo more >> etc/file; rm etc/gone; rm -r var/gone; mkdir var/gone; echo new > var/gone/g
  rm -r srv/data; ln -s /etc srv/data; chmod 700 many; rm many/2; mv many/3 many/three; ln many/1 many/one
  ln etc/file etc/second; mkdir -p new/dir; echo x > new/dir/x; ln new/dir/x new/y; touch usr/bin/tool
  ln b c; rm a; ln -sfn nowhere many/link; truncate -s 1M new/sparse; printf '\\346\\227\\245' > 'new/a b'
  echo n > "$(printf 'new/\\377\\376')"`;

/** A rig with the image `app` in its layout, ready to be changed. */
export async function openAppRig(actor: Actor): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await script(rig, 'root', `mkdir tree && cd tree && ${TREE} && tar -cf ../base.tar .; cd ..; rm -r tree`);
  await rig.write('file', 'of the upper layer\n');
  await rig.write('stacker.yaml', {
    app: { from: { type: 'tar', url: 'base.tar' }, imports: [{ path: 'file', dest: '/etc/keep/' }], cmd: ['/bin/app'] },
  });
  await rig.ok(['build']);
  return rig;
}

/** Runs a shell script in the rig's directory as somebody; returns what it says. */
export async function script(rig: StkRig, actor: Actor, text: string): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '', HOME: rig.path('home') };
  const { file, args, identity } = await commandAs(actor, ['sh', '-ec', text], env);
  const { stdout } = await execa(file, args, { ...identity, cwd: rig.directory, env, extendEnv: false });
  return stdout;
}

/** Mounts the image with a lasting upper, changes it, and unmounts it again; returns what the changed tree looked like. */
export async function change(
  rig: StkRig,
  actor: Actor,
  text: string,
  { image = 'app', upper = 'up' }: { readonly image?: string; readonly upper?: string } = {},
): Promise<string> {
  await rig.ok(['mount', image, 'm', '--upper', upper]);
  const listing = await script(rig, actor, `cd m; ${text}\n${LIST}`);
  await rig.ok(['umount', 'm']);
  return listing;
}
