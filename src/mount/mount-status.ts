import { joinInside } from '../core/paths.ts';
import { mountAt, type MountEntry } from '../host/mount-table.ts';
import { serverDirectories } from './layer-servers.ts';
import { overlaySource } from './merged-view.ts';
import type { MountRecord } from './mount-record.ts';
import { lazyServersStand, serversAnswer } from './server-answers.ts';
import type { MountState } from './state-directory.ts';

/**
 * What a record's mount really is: `mounted`; `broken`, there but without a server that answers; `foreign`, something else
 * is mounted at the target; `gone`, not mounted: begun and never finished, or unmounted by somebody else.
 */
export type MountStatus = 'mounted' | 'broken' | 'foreign' | 'gone';

export async function mountStatus(
  state: MountState,
  record: MountRecord,
  table: readonly MountEntry[],
  signal?: AbortSignal,
): Promise<MountStatus> {
  const entry = mountAt(table, record.target);
  if (!entry) return 'gone';
  if (!isOurs(record, entry)) return 'foreign';
  if (record.method.layers === 'kernel' && record.method.verity !== 'user') return 'mounted';
  const layers = record.layers.map(use => joinInside(state.layers, use.key));
  // A layer on top of a file server answers for itself alone.
  const own = serverDirectories(state, record.layers);
  const servers = [...layers, ...own];
  if (servers.some(server => !mountAt(table, server))) return 'broken';
  const stands =
    (record.farLayers ?? 0) > 0
      ? await lazyServersStand([record.target, ...layers], own, signal)
      : await serversAnswer([record.target, ...servers], signal);
  return stands ? 'mounted' : 'broken';
}

function isOurs(record: MountRecord, entry: MountEntry): boolean {
  if (record.method.overlay === 'fuse') return entry.type === 'fuse.fuse-overlayfs';
  return entry.type === 'overlay' && entry.source === overlaySource(record);
}
