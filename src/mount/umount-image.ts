import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { mountAt, readMountTable } from '../host/mount-table.ts';
import { closeVerityDevice } from '../host/tools/dm-verity.ts';
import { removeGcRoot } from '../oci/gc-roots.ts';
import { releaseLayers } from './layer-mounting.ts';
import { removeMergedNames } from './merged-view.ts';
import { readRecord, readRecords, recordFile, removeRecord, type MountRecord } from './mount-record.ts';
import { mountStatus } from './mount-status.ts';
import { canonicalTarget, removeTarget } from './mount-target.ts';
import { lockState, openMountState, type MountState } from './state-directory.ts';
import { unmountPath } from './unmount-path.ts';
import { removeUpper } from './writable-upper.ts';

export interface UmountRequest {
  /** See `stateHome`. */
  readonly home: AbsPath;
  readonly target: AbsPath;
  readonly signal?: AbortSignal | undefined;
}

export interface Unmounted {
  readonly target: AbsPath;
  readonly image: string;
  /** Layers that were still in use by other mounts and stayed. */
  readonly keptLayers: number;
  readonly releasedLayers: number;
}

/**
 * Unmounts an image and those of its layers that nobody else uses. Throws `not-found` where stk mounted nothing at the
 * target, `conflict` where it is in use. What a crash left half done is finished.
 */
export async function umountImage(request: UmountRequest): Promise<Unmounted> {
  const state = await openMountState(request.home);
  await using _lock = await lockState(state, { signal: request.signal });
  const target = await canonicalTarget(request.target);
  const record = await readRecord(state, target);
  if (!record) throw await notMounted(target);
  return await takeDown(state, record, request.signal);
}

async function notMounted(target: AbsPath): Promise<StkError> {
  const other = mountAt(await readMountTable(), target);
  return new StkError('not-found', `stk has mounted nothing on ${target}`, {
    hint: other
      ? `what is mounted there is ${other.type}; unmount it with umount`
      : 'run `stk mounts` to see what is mounted in this mount namespace',
    facts: { path: target },
  });
}

/**
 * Undoes a record: target, layers nobody else names, directories, and last the record itself, so that whatever interrupts
 * this, it can be called again. A mount at the target that is not ours stays.
 */
export async function takeDown(state: MountState, record: MountRecord, signal?: AbortSignal): Promise<Unmounted> {
  const right = record.method.overlay === 'kernel' ? 'mounter' : 'fuse-user';
  const status = await mountStatus(state, record, await readMountTable(), signal);
  if (status === 'mounted' || status === 'broken') {
    await unmountPath(record.target, right, { lazy: status === 'broken' });
  }
  await removeMergedNames(state, record.id);
  if (record.upper) await removeUpper(record.upper);
  const others = (await readRecords(state)).filter(other => other.id !== record.id);
  const released = await releaseLayers(state, others, right);
  for (const use of record.layers) {
    if (use.device !== undefined && released.includes(use.key)) await closeVerityDevice(use.device).catch(() => {});
  }
  if (record.madeTarget) await removeTarget(record.target);
  await removeRecord(state, record.id);
  if (record.layout !== undefined) await removeGcRoot(record.layout, recordFile(state, record.id));
  const own = new Set(record.layers.map(use => use.key));
  const releasedLayers = released.filter(name => own.has(name)).length;
  return { target: record.target, image: record.image, releasedLayers, keptLayers: own.size - releasedLayers };
}
