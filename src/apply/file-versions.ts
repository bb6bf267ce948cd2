import type { ConflictResolution } from '../recipe/model.ts';
import type { ConflictReason, Outcome, PathVersions, Version } from './driver.ts';

/** Package databases and caches that are larger are not merged. */
const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;

export interface SideContent {
  readonly name: string;
  /** Position among the problem's sides. */
  readonly side: number;
  /** `undefined`: it deleted the file. */
  readonly bytes: Buffer | undefined;
}

export interface FileContents {
  /** `undefined`: it has no such file. */
  readonly ancestor: Buffer | undefined;
  readonly sides: readonly SideContent[];
}

export type ConflictOutcome = Extract<Outcome, { type: 'conflict' }>;

/** The contents of a path on all sides; a conflict where a side has anything but a file, or one that is too large. */
export async function readContents(
  versions: Pick<PathVersions, 'path' | 'ancestor' | 'sides'>,
  maxBytes: number = DEFAULT_MAX_BYTES,
): Promise<FileContents | ConflictOutcome> {
  for (const { node, name } of [...versions.sides]) {
    if (node !== undefined && node.inode.type !== 'file') {
      return conflict(`/${shown(versions.path)} is a ${node.inode.type} in ${name}`);
    }
    if (node !== undefined && node.inode.size > maxBytes) {
      return conflict(`/${shown(versions.path)} of ${name} is too large to be merged (${node.inode.size} bytes)`);
    }
  }
  const { node } = versions.ancestor;
  if (node?.inode.type === 'file' && node.inode.size > maxBytes) {
    return conflict(`/${shown(versions.path)} of the base is too large to be merged (${node.inode.size} bytes)`);
  }
  const content = (version: Version) =>
    version.node?.inode.type === 'file' ? version.read(maxBytes) : Promise.resolve(undefined);
  const ancestor = await content(versions.ancestor);
  const sides: SideContent[] = [];
  for (const version of versions.sides) {
    sides.push({ name: version.name, side: version.side, bytes: await content(version) });
  }
  return { ancestor, sides };
}

export function isConflict<T extends object>(result: T | ConflictOutcome): result is ConflictOutcome {
  return 'type' in result && result.type === 'conflict';
}

/** A conflict that whole sides can settle, unless it says otherwise. */
export function conflict(
  message: string,
  options: { readonly remedies?: readonly ConflictResolution[]; readonly excerpt?: readonly string[] } = {},
): ConflictOutcome {
  return { type: 'conflict', conflict: conflictReason(message, options) };
}

/**
 * The outcome for a file that speaks of others, such as a database: if it is a conflict, no rule for the file alone settles
 * it, because one side's version would contradict what the merged tree has of the others.
 */
export function inseparable(outcome: Outcome): Outcome {
  return outcome.type === 'conflict' ? { ...outcome, conflict: { ...outcome.conflict, remedies: [] } } : outcome;
}

export function conflictReason(
  message: string,
  {
    remedies = ['last', 'first'],
    excerpt = [],
  }: { readonly remedies?: readonly ConflictResolution[]; readonly excerpt?: readonly string[] },
): ConflictReason {
  return { message, remedies, ...(excerpt.length > 0 && { excerpt: shorten(excerpt).join('\n') }) };
}

const MAX_EXCERPT_LINES = 20;

function shorten(lines: readonly string[]): readonly string[] {
  if (lines.length <= MAX_EXCERPT_LINES) return lines;
  const kept = lines.slice(0, MAX_EXCERPT_LINES - 1);
  return [...kept, `and ${lines.length - kept.length} more`];
}

/** A byte string out of an image, fit to be shown: UTF-8 decoded, control characters spelt out, cut. */
export function shown(text: string): string {
  const decoded = Buffer.from(text.slice(0, 400), 'latin1').toString('utf8');
  const safe = decoded.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return safe.length > 120 ? `${safe.slice(0, 119)}…` : safe;
}

/** The state of the last side that has the path; nothing where the last of them has not. */
export function takeLast(versions: PathVersions): Outcome {
  const last = versions.sides.at(-1);
  return last?.node === undefined ? { type: 'drop' } : { type: 'take', side: last.side };
}

/** The last side that has the path at all; nothing where all deleted it. */
export function takeLastPresent(versions: PathVersions): Outcome {
  const last = versions.sides.findLast(({ node }) => node !== undefined);
  return last === undefined ? { type: 'drop' } : { type: 'take', side: last.side };
}

export function textOutcome(text: string): Outcome {
  return { type: 'content', bytes: Buffer.from(text, 'latin1') };
}
