import { imagePath } from '../../core/paths.ts';
import type { ConflictReason, MergeContext, Survey } from '../driver.ts';
import { conflictReason, shown } from '../file-versions.ts';
import { mergeKeyed, type ChangedEntry } from '../text/three-way.ts';
import { Remembered } from '../../core/remembered.ts';

/** A package as a database records it. Texts are byte strings. */
export interface PackageState {
  /** As messages call it. */
  readonly name: string;
  readonly version: string;
  /** Equal where the records are. */
  readonly identity: string;
  /** Paths of what it installed, as the database has them. */
  files(): readonly string[];
}

export interface PackageSide<P> {
  readonly name: string;
  /** Position among the problem's sides. */
  readonly side: number;
  /** By what tells packages apart that can be installed beside each other. */
  readonly packages: ReadonlyMap<string, P>;
}

export interface PackageMerge<P> {
  readonly ancestor: ReadonlyMap<string, P>;
  readonly sides: readonly PackageSide<P>[];
  readonly compareVersions: (a: string, b: string) => number;
  /** Whether the recipe wants the newer of several versions for all of these paths, as the database has them. */
  readonly wantsNewer: (files: readonly string[]) => boolean;
}

export interface PackageChoice<P> {
  readonly packages: ReadonlyMap<string, P>;
  /** Files that belong to one side, because its version of their package was chosen over others. */
  readonly owned: readonly { readonly files: readonly string[]; readonly side: number }[];
  /** Packages that the user has to decide on. `packages` has the newer version of them. */
  readonly clashes: readonly { readonly sides: readonly number[]; readonly reason: ConflictReason }[];
}

/**
 * Packages three-way. A package that several sides have in one version is the last side's; in two versions, or removed by
 * one and changed by another, it is a clash, unless the recipe wants the newer.
 */
export function choosePackages<P extends PackageState>(merge: PackageMerge<P>): PackageChoice<P> {
  const { sides, compareVersions, wantsNewer } = merge;
  const owned: { files: readonly string[]; side: number }[] = [];
  const clashes: { sides: readonly number[]; reason: ConflictReason }[] = [];
  const settle = (_key: string, before: P | undefined, changes: readonly ChangedEntry<P>[]): P | undefined => {
    const present = changes.flatMap(({ side, value }) => (value ? [{ side: sides[side]!, value }] : []));
    const newest = present.reduce((best, next) =>
      compareVersions(next.value.version, best.value.version) >= 0 ? next : best,
    );
    const versions = new Set(present.map(({ value }) => value.version));
    const isGone = present.length < changes.length;
    if (versions.size === 1 && !isGone) return newest.value;
    const files = new Set([...(before?.files() ?? []), ...present.flatMap(({ value }) => value.files())]);
    if (wantsNewer([...files])) owned.push({ files: [...files], side: newest.side.side });
    else {
      const involved = changes.map(({ side }) => sides[side]!.side);
      const each = changes.map(({ side, value }) => {
        const { name } = sides[side]!;
        return value ? `${shown(value.version)} in ${name}` : `removed by ${name}`;
      });
      const message = `the package ${shown(newest.value.name)} is ${each.join(' and ')}`;
      clashes.push({ sides: involved, reason: conflictReason(message, { remedies: ['newer'] }) });
    }
    return newest.value;
  };
  const packages = mergeKeyed<P>({
    ancestor: merge.ancestor,
    sides: sides.map(side => side.packages),
    equal: (a, b) => a.identity === b.identity,
    settle,
  });
  return { packages, owned, clashes };
}

/** What a choice says to the engine. */
export async function surveyChoice(
  path: string,
  choice: PackageChoice<PackageState>,
  context: MergeContext,
): Promise<Survey> {
  const owners = new Map<string, number>();
  const directories = new Remembered<string, string>();
  for (const { files, side } of choice.owned) {
    for (const file of files) {
      const inImage = imagePath(file);
      const slash = inImage.lastIndexOf('/');
      const parent = slash < 0 ? '' : inImage.slice(0, slash);
      const resolved = await directories.get(`${side} ${parent}`, () => resolveDirectory(parent, side, context));
      owners.set(`${resolved === '' ? '' : `${resolved}/`}${inImage.slice(slash + 1)}`, side);
    }
  }
  // A rule that takes one side's database whole leaves nothing to be decided here.
  const rule = context.ruleFor(path);
  const settled = rule === 'first' || rule === 'last';
  const conflicts = settled ? [] : choice.clashes.map(({ sides, reason }) => ({ path, sides, reason }));
  return { owners, conflicts };
}

/** Where a directory lies whose path leads through symlinks, such as `/lib` to `usr/lib`, in the first tree that has it. */
async function resolveDirectory(directory: string, side: number, context: MergeContext): Promise<string> {
  const trees = [context.sides[side]?.tree, ...context.sides.map(({ tree }) => tree)];
  for (const tree of trees) {
    const resolved = await tree?.resolve(directory, context.signal);
    if (resolved !== undefined) return resolved.path;
  }
  return directory;
}
