import picomatch from 'picomatch';
import { StkError } from '../core/errors.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import type { MergeSide } from './merge-problem.ts';

const MOST_GLOB_CHARACTERS = 1024;
/** Each `**` and each `*` of one name multiplies the work for a path that nearly matches with the path's length. */
const MOST_DEEP_WILDCARDS = 2;
const MOST_NAME_WILDCARDS = 3;
const MOST_BRACES = 4;

/** What the recipe says of a path; `among` are the positions of the sides that take part, ascending; default all. */
export type RuleLookup = (path: string, among?: readonly number[]) => ConflictResolution | undefined;

/**
 * Compiles the rules of all sides. The rules of the side applied last are asked first. Throws `invalid-input` for what is no
 * glob, or one that could take a long time to match.
 */
export function compileRules(sides: readonly MergeSide[]): RuleLookup {
  const compiled = sides.map(side =>
    side.rules.map(({ glob, resolution }) => ({ matches: compileGlob(glob, side.name), resolution })),
  );
  const all = compiled.map((_, side) => side).filter(side => compiled[side]!.length > 0);
  return (path, among = all) => {
    if (all.length === 0) return undefined;
    for (const side of among.toReversed()) {
      const rule = compiled[side]!.find(({ matches }) => matches(`/${path}`));
      if (rule) return rule.resolution;
    }
    return undefined;
  };
}

/** The result takes a byte string, as which a path that is not UTF-8 keeps all of its bytes. */
function compileGlob(glob: string, side: string): (path: string) => boolean {
  const fail = (problem: string, cause?: unknown) =>
    new StkError('invalid-input', `conflicts of ${side}: ${JSON.stringify(glob.slice(0, 80))} ${problem}`, {
      cause,
      hint: "write a glob over absolute paths, such as /etc/motd, '/etc/*.conf' or '/usr/share/**'",
    });
  if (glob === '') throw fail('is no glob');
  if (glob.length > MOST_GLOB_CHARACTERS) throw fail(`has more than ${MOST_GLOB_CHARACTERS} characters`);
  if (isCostly(glob)) throw fail('has too many wildcards');
  const bytes = Buffer.from(plainParentheses(glob), 'utf8').toString('latin1');
  try {
    return picomatch(bytes, {
      dot: true,
      noextglob: true,
      maxLength: 8 * MOST_GLOB_CHARACTERS,
      // A name may hold a newline.
      flags: 's',
    });
  } catch (cause) {
    throw fail('is no glob', cause);
  }
}

function isCostly(glob: string): boolean {
  const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;
  if (count(glob, /\*\*+/g) > MOST_DEEP_WILDCARDS || count(glob, /\{/g) > MOST_BRACES) return true;
  return glob.split('/').some(name => count(name, /\*+/g) > MOST_NAME_WILDCARDS);
}

/** Parentheses and bars are characters of names, not the groups of a regular expression. */
function plainParentheses(glob: string): string {
  return glob.replace(/\\.|[()|+]/gs, part => (part.length > 1 ? part : `\\${part}`));
}
