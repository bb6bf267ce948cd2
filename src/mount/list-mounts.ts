import type { Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { readdir } from '../host/files.ts';
import { readPrivileges } from '../host/privileges.ts';
import { readMountTable } from '../host/mount-table.ts';
import { countUses, releaseLayers } from './layer-mounting.ts';
import { serverLogs } from './layer-servers.ts';
import { removeMergedNames } from './merged-view.ts';
import { readRecords, type MountRecord } from './mount-record.ts';
import { mountStatus, type MountStatus } from './mount-status.ts';
import { lockState, openMountState, removeDeadNamespaces, seenNamespaces, type MountState } from './state-directory.ts';
import { takeDown } from './umount-image.ts';
import type { UnmountRight } from './unmount-path.ts';

/** One image mount as it really is. */
export interface ListedMount {
  readonly target: AbsPath;
  readonly image: string;
  readonly digest: Digest;
  readonly status: MountStatus;
  readonly method: MountRecord['method'];
  readonly writable: boolean;
  /** The user's own upper directory. */
  readonly upper?: AbsPath;
  readonly layers: number;
  /** Of these, how many other image mounts use, too. */
  readonly sharedLayers: number;
  /** How many layers are fetched as they are read. */
  readonly farLayers: number;
  /** Where reads are logged that failed verification in user space. */
  readonly logs: readonly AbsPath[];
  readonly createdAt: string;
}

export interface MountList {
  readonly mounts: readonly ListedMount[];
  /** Layer mounts and directories that no image mount names: left by a process that was killed. */
  readonly strays: readonly AbsPath[];
}

export interface ListRequest {
  /** See `stateHome`. */
  readonly home: AbsPath;
  readonly signal?: AbortSignal | undefined;
}

/** What is mounted in this mount namespace, checked against the kernel's own table. */
export async function listMounts(request: ListRequest): Promise<MountList> {
  const state = await openMountState(request.home);
  await using _lock = await lockState(state, { signal: request.signal });
  return await list(state, request.signal);
}

async function list(state: MountState, signal: AbortSignal | undefined): Promise<MountList> {
  const records = await readRecords(state);
  const table = await readMountTable();
  const counts = countUses(records);
  const mounts: ListedMount[] = [];
  for (const record of records) {
    const { target, image, digest, method, upper, createdAt } = record;
    mounts.push({
      target,
      image,
      digest,
      status: await mountStatus(state, record, table, signal),
      method,
      writable: upper !== undefined,
      ...(upper && upper.scratch === undefined ? { upper: upper.upper } : {}),
      layers: record.layers.length,
      sharedLayers: record.layers.filter(use => (counts.get(use.key) ?? 0) > 1).length,
      farLayers: record.farLayers ?? 0,
      logs: serverLogs(state, record.layers),
      createdAt,
    });
  }
  return { mounts, strays: await findStrays(state, records) };
}

async function findStrays(state: MountState, records: readonly MountRecord[]): Promise<readonly AbsPath[]> {
  const uses = records.flatMap(record => record.layers);
  const owned: readonly (readonly [AbsPath, ReadonlySet<string | undefined>])[] = [
    [state.layers, new Set(uses.map(use => use.key))],
    [state.served, new Set(uses.map(use => use.served))],
    [state.images, new Set(records.map(record => record.id))],
  ];
  const strays: AbsPath[] = [];
  for (const [directory, names] of owned) {
    for (const name of await readdir(directory)) if (!names.has(name)) strays.push(joinInside(directory, name));
  }
  return strays;
}

export interface Repaired {
  /** What was found before. */
  readonly found: MountList;
  /** Targets of mounts that were cleared away. */
  readonly cleared: readonly AbsPath[];
  readonly releasedLayers: number;
}

/**
 * Clears away what does not stand: mounts begun and never finished, mounts whose servers died, layers that nobody uses,
 * the state of mount namespaces that are gone. Mounts that stand, and foreign ones at a target, are not touched.
 */
export async function repairMounts(request: ListRequest): Promise<Repaired> {
  const state = await openMountState(request.home);
  await using _lock = await lockState(state, { signal: request.signal });
  const found = await list(state, request.signal);
  const standing = new Set(found.mounts.filter(mount => mount.status === 'mounted').map(mount => mount.target));
  const cleared: AbsPath[] = [];
  let releasedLayers = 0;
  for (const record of await readRecords(state)) {
    if (standing.has(record.target)) continue;
    releasedLayers += (await takeDown(state, record, request.signal)).releasedLayers;
    cleared.push(record.target);
  }
  const records = await readRecords(state);
  const ids = new Set(records.map(record => record.id));
  for (const name of await readdir(state.images)) if (!ids.has(name)) await removeMergedNames(state, name);
  releasedLayers += (await releaseLayers(state, records, await unmountRight())).length;
  await removeDeadNamespaces(request.home, await seenNamespaces());
  return { found, cleared, releasedLayers };
}

/** Mounts below the state directory belong to this user; who may not mount needs fusermount3 for them. */
async function unmountRight(): Promise<UnmountRight> {
  return (await readPrivileges()).canMount ? 'mounter' : 'fuse-user';
}
