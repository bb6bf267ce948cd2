import { StkError } from '../../../core/errors.ts';
import { containersHome, listContainers } from '../../../container/container-record.ts';
import { joinInside, type AbsPath } from '../../../core/paths.ts';
import { tryLockFile } from '../../../host/file-lock.ts';
import { access, readdir, realpath } from '../../../host/files.ts';
import { readMountTable } from '../../../host/mount-table.ts';
import { removeTree } from '../../../host/tools/copy.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { removeAbandoned } from '../../../builder/workspace.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';

/** `stk clean`: steps leave files of many owners, so the removal happens as root of the namespaces. */
export async function runClean(session: Session, flags: { readonly all?: boolean }): Promise<number> {
  const { stkDir, ociDir } = session.global;
  const targets: AbsPath[] = [];
  if (await exists(stkDir)) targets.push(stkDir);
  if (flags.all && (await exists(ociDir))) targets.push(ociDir);
  if (targets.length === 0) return 0;
  if (!session.inside) return session.enter();
  if (targets.includes(stkDir)) await assertStateDirectory(stkDir);
  if (targets.includes(ociDir)) await LayoutStore.open(ociDir);
  for (const target of targets) {
    await removeTree(target, session.signal);
    session.stdout.write(`removed ${printableLine(target)}\n`);
  }
  return 0;
}

/** Refuses a directory that is not stk's own, one that is in use, and one that holds what somebody wanted to keep. */
async function assertStateDirectory(directory: AbsPath): Promise<void> {
  const [runs, mounts] = [joinInside(directory, 'run'), joinInside(directory, 'mounts')];
  const known = [...Object.values(stateDirectories(directory)), containersHome(directory), runs, mounts];
  for (const name of await readdir(directory)) {
    if (known.includes(joinInside(directory, name)) || name === 'rootfs' || name.startsWith('.tmp-')) continue;
    throw new StkError('conflict', `${directory} holds ${name}, which stk did not make`, {
      hint: 'check --stk-dir; remove the directory by hand if it is meant',
    });
  }
  const { work } = stateDirectories(directory);
  await removeAbandoned(work);
  await assertUnlocked(work, 'a build');
  await assertUnlocked(runs, 'a container');
  const containers = (await listContainers(containersHome(directory))).map(({ name }) => name);
  if (containers.length > 0) {
    throw new StkError('conflict', `there are containers that were kept: ${containers.slice(0, 10).join(', ')}`, {
      hint: `remove them first: stk rm ${containers.slice(0, 10).join(' ')}`,
    });
  }
  const real = await realpath(directory);
  const mounted = (await readMountTable()).find(({ target }) => target.startsWith(`${real}/`));
  if (mounted || (await readdir(mounts).catch(() => [])).length > 0) {
    throw new StkError('conflict', `${directory} is in use by a mount${mounted ? ` on ${mounted.target}` : ''}`, {
      hint: 'see `stk mounts`, and unmount with `stk umount`; `stk mounts --repair` clears away what a killed one left',
    });
  }
}

async function assertUnlocked(directory: AbsPath, what: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const lock = await tryLockFile(joinInside(directory, name), 'exclusive').catch(() => undefined);
    await lock?.[Symbol.asyncDispose]();
    if (!lock) throw new StkError('conflict', `${what} is running`, { hint: 'wait for it, or end it, and try again' });
  }
}

async function exists(path: AbsPath): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
