import { diff3Merge } from 'node-diff3';
import type { MergeDriver, Outcome, PathVersions, SideVersion } from '../driver.ts';

const MOST_BYTES = 1024 * 1024;
/** Line-by-line comparison grows with the product of what differs. */
const MOST_LINES = 50_000;
const MOST_EXCERPT_LINES = 20;

/** Three-way merge of lines. Lines are bytes: what is not UTF-8 survives, and so do line ends. */
export const text: MergeDriver = {
  name: 'text',
  claims: () => true,
  async merge(versions) {
    const base = versions.ancestor.node?.inode.type === 'file' ? await linesOf(versions.ancestor) : [];
    if (base === undefined) return notText(versions, 'the base');
    let merged: readonly string[] | undefined;
    let names = '';
    for (const side of versions.sides) {
      if (side.node?.inode.type !== 'file') return notText(versions, side.name);
      const lines = await linesOf(side);
      if (lines === undefined) return notText(versions, side.name);
      if (merged === undefined) [merged, names] = [lines, side.name];
      else {
        const next = mergeLines(base, { name: names, lines: merged }, { name: side.name, lines });
        if (!Array.isArray(next)) return next;
        merged = next;
        names = `${names} and ${side.name}`;
      }
    }
    return { type: 'content', bytes: Buffer.from((merged ?? []).join(''), 'latin1') };
  },
};

interface Lines {
  readonly name: string;
  readonly lines: readonly string[];
}

function mergeLines(base: readonly string[], a: Lines, b: Lines): string[] | Outcome {
  const merged: string[] = [];
  for (const region of diff3Merge([...a.lines], [...base], [...b.lines], { excludeFalseConflicts: true })) {
    if (region.ok) merged.push(...region.ok);
    else if (region.conflict) return clash(a.name, b.name, region.conflict.a, region.conflict.o, region.conflict.b);
  }
  return merged;
}

function clash(
  a: string,
  b: string,
  mine: readonly string[],
  base: readonly string[],
  theirs: readonly string[],
): Outcome {
  const part = (mark: string, lines: readonly string[]) => [mark, ...lines.map(line => line.replace(/\r?\n$/, ''))];
  const all = [
    ...part(`<<<<<<< ${a}`, mine),
    ...part('||||||| base', base),
    ...part('=======', theirs),
    `>>>>>>> ${b}`,
  ];
  const lines = Buffer.from(all.slice(0, MOST_EXCERPT_LINES - 1).join('\n'), 'latin1').toString('utf8');
  const excerpt = all.length < MOST_EXCERPT_LINES ? lines : `${lines}\n…`;
  return {
    type: 'conflict',
    conflict: {
      message: `${a} and ${b} changed the same lines`,
      excerpt,
      remedies: ['last', 'first'],
    },
  };
}

function notText(versions: PathVersions, side: string): Outcome {
  const names = versions.sides.map(({ name }) => name).join(' and ');
  const message = `${names} changed it, and what ${side} has is no text that could be merged`;
  return { type: 'conflict', conflict: { message, remedies: ['last', 'first', 'newer'] } };
}

/** The lines with their ends; `undefined` for what is no text or too large. */
async function linesOf(version: Pick<SideVersion, 'node' | 'read'>): Promise<string[] | undefined> {
  if ((version.node?.inode.size ?? 0) > MOST_BYTES) return undefined;
  const bytes = await version.read(MOST_BYTES);
  if (bytes.includes(0)) return undefined;
  const lines = bytes.toString('latin1').match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return lines.length > MOST_LINES ? undefined : lines;
}
