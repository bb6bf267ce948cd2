import picomatch from 'picomatch';
import { StkError } from '../core/errors.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import type { MergeSide } from './merge-problem.ts';

const MOST_GLOB_CHARACTERS = 1024;

/** What the recipe says of a path; `among` are the positions of the sides that take part. */
export type RuleLookup = (path: string, among?: readonly number[]) => ConflictResolution | undefined;

/** Compiles the rules of all sides. The rules of the side applied last are asked first. Throws `invalid-input`. */
export function compileRules(sides: readonly MergeSide[]): RuleLookup {
  const compiled = sides.map(side =>
    side.rules.map(({ glob, resolution }) => ({ matches: compileGlob(glob, side.name), resolution })),
  );
  const none = compiled.every(rules => rules.length === 0);
  return (path, among = compiled.map((_, side) => side)) => {
    if (none) return undefined;
    const text = `/${Buffer.from(path, 'latin1').toString('utf8')}`;
    for (const side of among.toReversed()) {
      const rule = compiled[side]!.find(({ matches }) => matches(text));
      if (rule) return rule.resolution;
    }
    return undefined;
  };
}

function compileGlob(glob: string, side: string): (path: string) => boolean {
  const fail = (cause?: unknown) =>
    new StkError('invalid-input', `conflicts of ${side}: ${JSON.stringify(glob.slice(0, 80))} is no glob`, {
      cause,
      hint: "write a glob over absolute paths, such as /etc/motd, '/etc/*.conf' or '/usr/share/**'",
    });
  if (glob === '' || glob.length > MOST_GLOB_CHARACTERS) throw fail();
  try {
    // Extended globs can nest quantifiers, which would let a pattern take exponential time.
    return picomatch(glob, { dot: true, noextglob: true, maxLength: MOST_GLOB_CHARACTERS });
  } catch (cause) {
    throw fail(cause);
  }
}
