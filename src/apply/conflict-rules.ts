import { StkError } from '../core/errors.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import { compileGlob, type Matcher } from './glob.ts';
import type { MergeSide } from './merge-problem.ts';

const MOST_GLOB_CHARACTERS = 1024;

/** What the recipe says of a path; `among` are the positions of the sides that take part, ascending; default all. */
export type RuleLookup = (path: string, among?: readonly number[]) => ConflictResolution | undefined;

/** Compiles the rules of all sides; those of the side applied last are asked first. Throws `invalid-input` for no glob. */
export function compileRules(sides: readonly MergeSide[]): RuleLookup {
  const compiled = sides.map(side =>
    side.rules.map(({ glob, resolution }) => ({ matches: matcherOf(glob, side.name), resolution })),
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

function matcherOf(glob: string, side: string): Matcher {
  const sound = glob !== '' && glob.length <= MOST_GLOB_CHARACTERS;
  const matcher = sound ? compileGlob(glob) : undefined;
  if (matcher) return matcher;
  const problem = glob === '' ? 'is no glob' : sound ? 'stands for too many globs' : 'is too long';
  throw new StkError('invalid-input', `conflicts of ${side}: ${JSON.stringify(glob.slice(0, 80))} ${problem}`, {
    hint: "write a glob over absolute paths, such as /etc/motd, '/etc/*.conf' or '/usr/share/**'",
  });
}
