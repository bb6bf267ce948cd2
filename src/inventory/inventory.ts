import type { Digest } from '../core/digest.ts';
import { packageKey, type FoundPackage, type OsRelease, type PackageSource } from './found-package.ts';
import { hidingOf, type Hides, type LayerPart } from './layer-part.ts';

/** A package of an image, and why it is believed to be there. */
export interface InventoryPackage extends FoundPackage {
  /** The file that says so; the first of several. */
  readonly path: string;
  /** The layer that brought it, in this version. */
  readonly layer: Digest;
}

export interface InventoryProblem {
  readonly path: string;
  readonly layer: Digest;
  readonly text: string;
}

/** What is in an image, or in one layer. Paths are byte strings in the form of `imagePath`. */
export interface Inventory {
  readonly release: OsRelease | undefined;
  /** In one order, whatever the layers. */
  readonly packages: readonly InventoryPackage[];
  /** Files that could not be read whole: there may be more packages. */
  readonly problems: readonly InventoryProblem[];
}

export interface PartOfLayer {
  readonly layer: Digest;
  readonly part: LayerPart;
}

/** Puts the parts of an image's layers together: what upper layers delete, replace or hide does not count. */
export function composeInventory(parts: readonly PartOfLayer[]): Inventory {
  const packages = new Map<string, InventoryPackage>();
  const problems: InventoryProblem[] = [];
  const releases = new Map<string, OsRelease>();
  for (const { source, layer, before } of visibleSources(parts)) {
    if (source.problem !== undefined) problems.push({ path: source.path, layer, text: source.problem });
    if (source.release) releases.set(source.path, source.release);
    for (const found of source.packages) {
      const key = packageKey(found);
      if (!packages.has(key)) packages.set(key, { ...found, path: source.path, layer: firstWith(key, layer, before) });
    }
  }
  const sorted = [...packages].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
  const release = releases.get('etc/os-release') ?? releases.get('usr/lib/os-release');
  return { release, packages: sorted, problems };
}

interface VisibleSource {
  readonly source: PackageSource;
  readonly layer: Digest;
  /** The same file in layers below, the uppermost first. */
  readonly before: readonly { readonly layer: Digest; readonly keys: ReadonlySet<string> }[];
}

function visibleSources(parts: readonly PartOfLayer[]): readonly VisibleSource[] {
  const above: Hides[] = [];
  const visible = new Map<string, VisibleSource>();
  for (let index = parts.length - 1; index >= 0; index--) {
    const { layer, part } = parts[index]!;
    for (const source of part.sources) {
      const upper = visible.get(source.path);
      if (upper) {
        const keys = new Set(source.packages.map(packageKey));
        visible.set(source.path, { ...upper, before: [...upper.before, { layer, keys }] });
      } else if (!above.some(hides => hides(source.path))) visible.set(source.path, { source, layer, before: [] });
    }
    if (index > 0) above.push(hidingOf(part));
  }
  return [...visible.values()].toSorted((a, b) => (a.source.path < b.source.path ? -1 : 1));
}

/** The lowest layer since which a file has a package without a break. */
function firstWith(key: string, layer: Digest, before: VisibleSource['before']): Digest {
  let first = layer;
  for (const { layer: lower, keys } of before) {
    if (!keys.has(key)) break;
    first = lower;
  }
  return first;
}
