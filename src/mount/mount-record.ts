import { createHash } from 'node:crypto';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { readdir, rm } from '../host/files.ts';
import { readSmallFile } from '../host/read-small-file.ts';
import type { Method } from './choose-method.ts';
import type { MountState } from './state-directory.ts';

/** An image of 500 layers takes a tenth. */
const MAX_RECORD_BYTES = 1 << 20;

/** A layer as an image mount uses it. */
export interface LayerUse {
  readonly digest: Digest;
  /** Name of its mount point below `layers`. */
  readonly key: string;
  /** Name of the file server's mount point below `served`, where the layer is verified in user space. */
  readonly served?: string;
  /** Name of the device-mapper device, where the kernel verifies the layer. */
  readonly device?: string;
}

/** What is known of one image mount. Written before anything is mounted, removed after everything is unmounted. */
export interface MountRecord {
  readonly version: 1;
  /** Derived from the target: one mount per target. */
  readonly id: string;
  /** Canonical path. */
  readonly target: AbsPath;
  /** The reference as resolved when it was mounted. */
  readonly image: string;
  readonly digest: Digest;
  /** Directory of the layout, which is told that the image is needed. */
  readonly layout?: AbsPath;
  /** Uppermost first, as overlayfs counts. */
  readonly layers: readonly LayerUse[];
  readonly method: Pick<Method, 'layers' | 'overlay' | 'verity'>;
  /** How many layers are fetched as they are read; absent in records of older mounts. */
  readonly farLayers?: number;
  /** Absent where the mount is read-only. */
  readonly upper?: Writable;
  /** Whether the target was made for this mount and goes with it. */
  readonly madeTarget: boolean;
  /** RFC 3339. */
  readonly createdAt: string;
}

export interface Writable {
  readonly upper: AbsPath;
  readonly work: AbsPath;
  /** A throw-away directory that holds both, removed at the end; absent where the upper is the user's own. */
  readonly scratch?: AbsPath;
}

export function recordId(target: AbsPath): string {
  return createHash('sha256').update(target).digest('hex').slice(0, 16);
}

export async function writeRecord(state: MountState, record: MountRecord): Promise<void> {
  await writeFileAtomic(recordFile(state, record.id), `${JSON.stringify(record)}\n`, { mode: 0o600 });
}

export async function removeRecord(state: MountState, id: string): Promise<void> {
  await rm(recordFile(state, id), { force: true });
}

export async function readRecord(state: MountState, target: AbsPath): Promise<MountRecord | undefined> {
  return readRecordFile(recordFile(state, recordId(target)));
}

/** All records, in the order in which the mounts were made. */
export async function readRecords(state: MountState): Promise<readonly MountRecord[]> {
  return readRecordsIn(state.records);
}

/** All records of a directory, be it another mount namespace's. */
export async function readRecordsIn(directory: AbsPath): Promise<readonly MountRecord[]> {
  const records: MountRecord[] = [];
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.json')) continue;
    const record = await readRecordFile(joinInside(directory, name));
    if (record) records.push(record);
  }
  return records.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}

async function readRecordFile(file: AbsPath): Promise<MountRecord | undefined> {
  const bytes = await readSmallFile(file, MAX_RECORD_BYTES).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (bytes === undefined) return undefined;
  const value = parseJson(bytes.toString('utf8'));
  if (isRecord(value)) return value;
  throw new StkError('invalid-input', `${file} is no record of a mount that this stk can read`, {
    hint: 'unmount by hand what it names (see /proc/self/mountinfo), then remove the file',
    facts: { path: file },
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is MountRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Partial<MountRecord>;
  return (
    record.version === 1 &&
    typeof record.target === 'string' &&
    record.id === recordId(record.target) &&
    typeof record.image === 'string' &&
    isDigest(record.digest) &&
    Array.isArray(record.layers) &&
    typeof record.method === 'object'
  );
}

/** Where a record is, or would be. */
export function recordFile(state: MountState, id: string): AbsPath {
  return joinInside(state.records, `${id}.json`);
}
