import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, inject } from 'vitest';
import { ordinaryUser, probe, self } from './users.ts';

/**
 * What a test may need of the host. `root` is also had through sudo; `tool:NAME` is a program; `debian-base` the cached
 * root filesystem, see installation.ts; `kernel-squashfs` is root's loop mount of a layer;
 * `emulators` are those that a user namespace has of its own, since Linux 6.7.
 */
export type Capability =
  | 'root'
  | 'user'
  | 'userns'
  | 'overlay'
  | 'fuse'
  | 'kernel-squashfs'
  | 'emulators'
  | 'registry'
  | 'debian-base'
  | `tool:${string}`;

const known = new Map<Capability, Promise<string | undefined>>();

/** Skips every test of the enclosing suite or file, each with the reason, unless the host has all of these. */
export function requires(...capabilities: readonly Capability[]): void {
  beforeEach(async context => {
    const reason = await missing(...capabilities);
    context.skip(reason !== undefined, reason);
  });
}

/** Why tests that need these cannot run here; `undefined` where they can. */
export async function missing(...capabilities: readonly Capability[]): Promise<string | undefined> {
  for (const capability of capabilities) {
    const found = known.get(capability) ?? look(capability);
    known.set(capability, found);
    const reason = await found;
    if (reason !== undefined) return `needs ${capability}: ${reason}`;
  }
  return undefined;
}

async function look(capability: Capability): Promise<string | undefined> {
  switch (capability) {
    case 'root':
      return self.uid === 0 ? undefined : probe('root', ['true']);
    case 'user':
      return (await ordinaryUser()) ? undefined : 'no ordinary user; ./setup --tests adds one';
    case 'userns':
      return (await missing('user')) ?? probe('user', ['unshare', ...USER_NAMESPACE, 'true']);
    case 'overlay':
      return (await missing('userns')) ?? probe('user', ['unshare', ...USER_NAMESPACE, 'sh', '-ec', OVERLAY]);
    case 'fuse':
      return (await missing('user')) ?? probe('user', ['sh', '-c', 'exec 3<>/dev/fuse']);
    case 'kernel-squashfs':
      return (await missing('root')) ?? probe('root', ['sh', '-c', KERNEL_SQUASHFS]);
    case 'emulators':
      return (await missing('userns')) ?? probe('user', ['unshare', ...USER_NAMESPACE, 'sh', '-ec', BINFMT]);
    case 'registry':
      return hasTool('docker-registry');
    case 'debian-base':
      return inject('stk').debianBase === undefined ? 'mmdebstrap could not make it' : undefined;
    default:
      return hasTool(capability.slice('tool:'.length));
  }
}

const USER_NAMESPACE = ['--user', '--map-auto', '--map-root-user', '--mount'] as const;
const BINFMT = 'mount -t binfmt_misc none /mnt';
const OVERLAY =
  'mount -t tmpfs none /mnt; cd /mnt; mkdir l u w m; mount -t overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w o m';
const KERNEL_SQUASHFS =
  'test -e /dev/loop-control && { grep -qw squashfs /proc/filesystems || modprobe -n squashfs; } 2>/dev/null';

async function hasTool(name: string): Promise<string | undefined> {
  for (const directory of (process.env['PATH'] ?? '').split(':')) {
    const found = await access(path.join(directory, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return undefined;
  }
  return `${name} is not installed; ./setup --tests installs it`;
}
