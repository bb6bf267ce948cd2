import { randomBytes } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { script } from './changed-images.ts';
import type { StkRig } from './stk-rig.ts';
import type { Actor } from './users.ts';

/** Limits that a container can be given where the tests themselves run in one. */
export const PODMAN_LIMITS = '--ulimit nofile=1024:1024 --ulimit nproc=1024:1024';

/**
 * Gives a command line of podman with storage and state of its own, and their directory, in short names in lower
 * case: podman refuses others. The
 * process that holds a user's namespace outlives every command, so it is ended here.
 */
export async function withPodman(
  rig: StkRig,
  actor: Actor,
  use: (podman: string, home: string) => Promise<void>,
): Promise<void> {
  const home = path.join('/tmp', `stk-${randomBytes(4).toString('hex')}`);
  await mkdir(home);
  await chmod(home, 0o777);
  await script(rig, actor, `mkdir -m 700 ${home}/x`);
  const storage = `--root ${home}/s --runroot ${home}/r --storage-driver vfs --cgroup-manager cgroupfs --runtime runc`;
  try {
    await use(`env XDG_RUNTIME_DIR=${home}/x podman ${storage}`, home);
  } finally {
    const end = `! test -e ${home}/x/libpod/tmp/pause.pid || kill $(cat ${home}/x/libpod/tmp/pause.pid)`;
    await script(rig, 'root', `${end}; umount --lazy ${home}/s 2> /dev/null || true; rm -rf ${home}`);
  }
}
