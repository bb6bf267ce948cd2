import { isStkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { runTool } from '../host/exec.ts';
import { mountAt, type MountEntry } from '../host/mount-table.ts';
import { overlaySource } from './merged-view.ts';
import type { MountRecord } from './mount-record.ts';
import type { MountState } from './state-directory.ts';

/**
 * What a record's mount really is: `mounted`; `broken`, there but without a server that answers; `foreign`, something else
 * is mounted at the target; `gone`, not mounted: begun and never finished, or unmounted by somebody else.
 */
export type MountStatus = 'mounted' | 'broken' | 'foreign' | 'gone';

/** How long a FUSE server may take to answer for a directory before it counts as dead. */
const ANSWER_MS = 5000;

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
  const servers = record.layers.map(use => joinInside(state.layers, use.key));
  if (servers.some(server => !mountAt(table, server))) return 'broken';
  return (await answers([record.target, ...servers], signal)) ? 'mounted' : 'broken';
}

function isOurs(record: MountRecord, entry: MountEntry): boolean {
  if (record.method.overlay === 'fuse') return entry.type === 'fuse.fuse-overlayfs';
  return entry.type === 'overlay' && entry.source === overlaySource(record);
}

/** Asks in a process of its own: a thread of this one that waits for a dead server could not be taken back. */
async function answers(paths: readonly AbsPath[], signal: AbortSignal | undefined): Promise<boolean> {
  const deadline = AbortSignal.timeout(ANSWER_MS);
  try {
    await runTool('stat', ['--format=', '--', ...paths], {
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
    return true;
  } catch (error) {
    if (signal?.aborted || isStkError(error, 'missing-capability')) throw error;
    return false;
  }
}
