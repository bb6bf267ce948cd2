import { inCommonOrder } from './apk-records.ts';
import { conflict, shown, type ConflictOutcome } from '../file-versions.ts';
import { joinLines, mergeKeyed, splitLines } from '../text/three-way.ts';

export interface NamedText {
  readonly name: string;
  readonly text: string;
}

/**
 * `etc/apk/world`: the packages that were asked for, by name. One that is asked for with different constraints is a
 * conflict.
 */
export function mergeWorld(path: string, ancestor: string, sides: readonly NamedText[]): string | ConflictOutcome {
  const problems: string[] = [];
  const merged = mergeKeyed<string>({
    ancestor: byName(ancestor),
    sides: sides.map(({ text }) => byName(text)),
    equal: (a, b) => a === b,
    settle: (_name, _before, changes) => {
      const each = changes.map(
        ({ side, value }) => `${value === undefined ? 'nothing' : shown(value)} in ${sides[side]!.name}`,
      );
      problems.push(`/${shown(path)} asks for ${each.join(' and ')}`);
      return undefined;
    },
  });
  const [first] = problems;
  if (first !== undefined) return conflict(first, { excerpt: problems.slice(1) });
  const sources = [ancestor, ...sides.map(({ text }) => text)].map(dependencies);
  return joinLines(inCommonOrder([...merged.values()], sources, nameOf));
}

function dependencies(text: string): string[] {
  return splitLines(text).flatMap(line => line.split(/\s+/).filter(word => word !== ''));
}

function byName(text: string): ReadonlyMap<string, string> {
  return new Map(dependencies(text).map(dependency => [nameOf(dependency), dependency]));
}

/** Without version, repository and what else follows; `!` before a name forbids the package. */
function nameOf(dependency: string): string {
  return dependency.replace(/^!/, '').replace(/[<>=~@].*$/s, '');
}
