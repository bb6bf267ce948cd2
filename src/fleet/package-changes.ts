import type { FoundPackage } from '../inventory/found-package.ts';

/** One package in two inventories; `undefined`: it is not in that one. */
export interface PackageChange {
  readonly name: string;
  readonly before: FoundPackage | undefined;
  readonly after: FoundPackage | undefined;
}

/**
 * What differs between two inventories, by name. Of a package that is there in several versions, those that both have are no
 * change.
 */
export function packageChanges(
  before: readonly FoundPackage[],
  after: readonly FoundPackage[],
): readonly PackageChange[] {
  const [old, now] = [byName(before), byName(after)];
  const changes: PackageChange[] = [];
  for (const key of new Set([...old.keys(), ...now.keys()])) {
    const [left, right] = [old.get(key) ?? [], now.get(key) ?? []];
    const gone = left.filter(({ version }) => !right.some(each => each.version === version));
    const fresh = right.filter(({ version }) => !left.some(each => each.version === version));
    for (let index = 0; index < Math.max(gone.length, fresh.length); index++) {
      const [was, is] = [gone[index], fresh[index]];
      changes.push({ name: (is ?? was)!.name, before: was, after: is });
    }
  }
  return changes.toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

function byName(packages: readonly FoundPackage[]): ReadonlyMap<string, readonly FoundPackage[]> {
  const found = new Map<string, FoundPackage[]>();
  for (const one of packages) {
    const { type, group = '', name, architecture = '' } = one;
    const key = [type, group, name, architecture].join('\0');
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  return found;
}
