import { diff3Merge } from 'node-diff3';
import type { MergeDriver, Outcome, PathVersions, SideVersion } from '../driver.ts';

const MOST_BYTES = 1024 * 1024;
/** Of lines that differ, those of one version times those of the other: what aligning them costs. */
const MOST_PAIRS = 50_000_000;
const MOST_EXCERPT_LINES = 20;
const MOST_EXCERPT_CHARACTERS = 200;

/**
 * Three-way merge of lines, each with its end, so that a missing last newline and CRLF are differences like any other.
 * Lines are bytes: what is not UTF-8 survives. Files with NUL bytes are no text, unless the recipe says `merge`.
 */
export const text: MergeDriver = {
  name: 'text',
  claims: () => true,
  async merge(versions) {
    const { ancestor, sides, wish } = versions;
    const forced = wish === 'merge';
    const holder = forced ? undefined : await privateKeyHolder(versions);
    if (holder !== undefined) return keyClash(holder);
    const base = ancestor.node === undefined ? [] : await linesOf(ancestor, forced);
    if (base === undefined) return notText(versions, 'the base');
    let merged: Lines | undefined;
    for (const side of sides) {
      const lines = await linesOf(side, forced);
      if (lines === undefined) return notText(versions, side.name);
      if (merged === undefined) {
        merged = { name: side.name, lines };
        continue;
      }
      const next = mergeLines(base, merged, { name: side.name, lines });
      if ('type' in next) return next;
      merged = { name: `${merged.name} and ${side.name}`, lines: next.lines };
    }
    return { type: 'content', bytes: Buffer.from((merged?.lines ?? []).join(''), 'latin1') };
  },
};

const PRIVATE_KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/;

/** A side with a private key in the file: its lines are neither to be mixed with others nor to be shown. */
async function privateKeyHolder({ sides }: PathVersions): Promise<string | undefined> {
  for (const side of sides) {
    const inode = side.node?.inode;
    if (inode?.type !== 'file' || inode.size > MOST_BYTES) continue;
    if (PRIVATE_KEY.test((await side.read(MOST_BYTES)).toString('latin1'))) return side.name;
  }
  return undefined;
}

function keyClash(name: string): Outcome {
  const message = `it holds a private key in ${name}, and differs; take it and what belongs to it from one of them by rules`;
  return { type: 'conflict', conflict: { message, remedies: [] } };
}

interface Lines {
  readonly name: string;
  readonly lines: readonly string[];
}

function mergeLines(base: readonly string[], a: Lines, b: Lines): { readonly lines: readonly string[] } | Outcome {
  const all = [base, a.lines, b.lines] as const;
  const head = commonLines(all, 0, (lines, index) => lines[index]);
  const tail = commonLines(all, head, (lines, index) => lines[lines.length - 1 - index]);
  const [old, mine, theirs] = all.map(lines => lines.slice(head, lines.length - tail)) as [
    string[],
    string[],
    string[],
  ];
  if (old.length * Math.max(mine.length, theirs.length) > MOST_PAIRS) return tooDifferent(a.name, b.name);
  const merged = base.slice(0, head);
  for (const region of diff3Merge(mine, old, theirs, { excludeFalseConflicts: true })) {
    if (region.conflict) return clash(a.name, b.name, region.conflict);
    for (const line of region.ok ?? []) merged.push(line);
  }
  for (const line of base.slice(base.length - tail)) merged.push(line);
  return { lines: merged };
}

/** How many lines all versions share from one end, those left out that the other end has. */
function commonLines(
  all: readonly (readonly string[])[],
  taken: number,
  lineAt: (lines: readonly string[], index: number) => string | undefined,
): number {
  const most = Math.min(...all.map(lines => lines.length)) - taken;
  const [first, ...others] = all;
  let count = 0;
  while (count < most && others.every(lines => lineAt(lines, count) === lineAt(first!, count))) count++;
  return count;
}

interface Clash {
  readonly a: readonly string[];
  readonly o: readonly string[];
  readonly b: readonly string[];
}

function clash(a: string, b: string, parts: Clash): Outcome {
  const lines = parts.a.length + parts.o.length + parts.b.length + 4;
  // Each part is cut for itself, so that every side is seen.
  const most = lines > MOST_EXCERPT_LINES ? Math.floor((MOST_EXCERPT_LINES - 7) / 3) : lines;
  const excerpt = [
    `<<<<<<< ${a}`,
    ...shownLines(parts.a, most),
    '||||||| base',
    ...shownLines(parts.o, most),
    '=======',
    ...shownLines(parts.b, most),
    `>>>>>>> ${b}`,
  ].join('\n');
  const message = `${a} and ${b} changed the same lines`;
  return { type: 'conflict', conflict: { message, excerpt, remedies: ['last', 'first'] } };
}

function shownLines(lines: readonly string[], most: number): readonly string[] {
  const shown = lines.slice(0, most).map(line => {
    const text = Buffer.from(line.replace(/\r?\n$/, ''), 'latin1').toString('utf8');
    return text.length > MOST_EXCERPT_CHARACTERS ? `${text.slice(0, MOST_EXCERPT_CHARACTERS)}…` : text;
  });
  return lines.length > most ? [...shown, `… ${lines.length - most} more`] : shown;
}

function notText({ sides }: PathVersions, who: string): Outcome {
  const names = sides.map(({ name }) => name).join(' and ');
  const message = `${names} changed it, and what ${who} has is no text that could be merged`;
  return { type: 'conflict', conflict: { message, remedies: ['last', 'first', 'newer'] } };
}

function tooDifferent(a: string, b: string): Outcome {
  const message = `${a} and ${b} changed more lines than can be compared`;
  return { type: 'conflict', conflict: { message, remedies: ['last', 'first', 'newer'] } };
}

/** The lines with their ends; `undefined` for what is no text or too large. */
async function linesOf(
  version: Pick<SideVersion, 'node' | 'read'>,
  forced: boolean,
): Promise<readonly string[] | undefined> {
  const inode = version.node?.inode;
  if (inode?.type !== 'file' || inode.size > MOST_BYTES) return undefined;
  const bytes = await version.read(MOST_BYTES);
  if (!forced && bytes.includes(0)) return undefined;
  return bytes.toString('latin1').match(/[^\n]*\n|[^\n]+$/g) ?? [];
}
