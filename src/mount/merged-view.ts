import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, rm, symlink } from '../host/files.ts';
import { mountFuseOverlay } from '../host/tools/fuse-overlayfs.ts';
import { MAX_LOWER_LAYERS, mountOverlay } from '../host/tools/mount.ts';
import { disinherit } from '../host/usual-settings.ts';
import { linkLowers } from '../sandbox/lower-view.ts';
import { makeCovers, type Cover } from './cover-files.ts';
import type { MountRecord } from './mount-record.ts';
import type { MountState } from './state-directory.ts';

/** Name that the mount table shows for an image mount of the kernel's. */
export function overlaySource(record: Pick<MountRecord, 'id'>): string {
  return `stk-${record.id}`;
}

/** Throws `unsupported` for more layers than overlayfs takes, before anything is mounted. */
export function assertStackable(count: number): void {
  if (count <= MAX_LOWER_LAYERS) return;
  throw new StkError('unsupported', `the image has ${count} layers; an overlay takes at most ${MAX_LOWER_LAYERS}`, {
    hint: 'build the image with fewer layers, for example on a base that holds what the lower ones do',
    facts: { layers: count, limit: MAX_LOWER_LAYERS },
  });
}

/** What is mounted besides an image's layers, and how. */
export interface MergedOptions {
  /** Directories below all layers, as canonical paths in the image. */
  readonly skeleton: readonly string[];
  /** Files on top of them. */
  readonly covers: readonly Cover[];
  /** For ordinary users' writable mounts: the ids that everything belongs to. */
  readonly squashTo: { readonly uid: number; readonly gid: number };
}

/**
 * Mounts the overlay of an image's layers on its target. Even a single layer gets one, above a directory of stk's own: only so
 * its whiteouts and opaque marks are read as what they are, and the mount has no flags of the layer's own mount.
 */
export async function mountMerged(
  state: MountState,
  record: MountRecord,
  { skeleton, covers, squashTo }: MergedOptions,
  signal?: AbortSignal,
): Promise<void> {
  const directory = joinInside(state.images, record.id);
  await makeAnew(directory);
  const layers = record.layers.map(use => joinInside(state.layers, use.key));
  if (layers.length === 1 || skeleton.length > 0) {
    const lowest = joinInside(directory, 'lowest');
    await mkdir(lowest, { mode: 0o755 });
    await disinherit(lowest, 0o755);
    for (const path of skeleton) await mkdir(joinInside(lowest, path), { recursive: true, mode: 0o755 });
    layers.push(lowest);
  }
  if (covers.length > 0) {
    const uppermost = joinInside(directory, 'uppermost');
    await makeCovers(uppermost, covers);
    layers.unshift(uppermost);
  }
  const lowers = await linkLowers(layers, directory);
  if (record.upper) {
    await symlink(record.upper.upper, joinInside(directory, 'upper'));
    await symlink(record.upper.work, joinInside(directory, 'work'));
  }
  const overlay = {
    cwd: directory,
    lowers,
    ...(record.upper ? { upper: 'upper', work: 'work' } : {}),
    target: record.target,
    source: overlaySource(record),
  };
  if (record.method.overlay === 'kernel') await mountOverlay(overlay, signal);
  else {
    const writeThrough = record.method.verity !== 'none';
    await mountFuseOverlay({ ...overlay, writeThrough, ...(record.upper ? { squashTo } : {}) }, signal);
  }
}

/** Removes the short names of an image's overlay; they are links and empty directories, nothing is mounted there. */
export async function removeMergedNames(state: MountState, id: string): Promise<void> {
  await rm(joinInside(state.images, id), { recursive: true, force: true });
}

async function makeAnew(directory: AbsPath): Promise<void> {
  await mkdir(directory, { mode: 0o700 }).catch(async (error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error;
    await rm(directory, { recursive: true });
    await mkdir(directory, { mode: 0o700 });
  });
}
