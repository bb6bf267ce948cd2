import path from 'node:path';
import type { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, realpath } from '../host/files.ts';
import { hasMountOption } from '../host/mount-table.ts';
import { mountOverlay, unmount } from '../host/tools/mount.ts';
import { linkLowers } from './lower-view.ts';
import type { StepMount } from './run-step.ts';
import { Remembered } from '../core/remembered.ts';

/**
 * The mounts, those of files of the host that lie on a filesystem mounted `noexec` by way of a read-only overlay: a bind
 * would inherit that flag (mount(2), MS_BIND), and scripts and imports are there to be executed. `nosuid` and `nodev` are
 * what a sandbox has anyhow.
 *
 * @param directory of the caller's, empty; what is mounted below it goes with the scope
 */
export async function executableSources(
  mounts: readonly StepMount[],
  directory: AbsPath,
  scope: AsyncScope,
): Promise<StepMount[]> {
  const views = new Remembered<string, AbsPath>();
  const shown = async (mount: StepMount): Promise<StepMount> => {
    if (mount.type !== 'bind') return mount;
    const source = await realpath(mount.source);
    if (!(await hasMountOption(source, 'noexec'))) return mount;
    const lower = (mount.file ? path.dirname(source) : source) as AbsPath;
    const view = await views.get(lower, () => openView(lower, joinInside(directory, String(views.size)), scope));
    return { ...mount, source: mount.file ? joinInside(view, path.basename(source)) : view };
  };
  const all: StepMount[] = [];
  for (const mount of mounts) all.push(await shown(mount));
  return all;
}

async function openView(lower: AbsPath, directory: AbsPath, scope: AsyncScope): Promise<AbsPath> {
  const [view, empty] = [joinInside(directory, 'view'), joinInside(directory, 'empty')];
  for (const each of [view, empty]) await mkdir(each, { recursive: true });
  const lowers = await linkLowers([lower, empty], directory);
  await mountOverlay({ cwd: directory, lowers, target: 'view' });
  scope.defer(() => unmount(view, { lazy: true }));
  return view;
}
