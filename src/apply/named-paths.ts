import type { DirectoryEntry } from '../squashfs/directory.ts';
import type { DirectoryInode } from '../squashfs/inode.ts';
import { isOpaque } from '../squashfs/overlay.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { WalkGuard } from '../squashfs/walk.ts';
import type { MergeSide } from './merge-problem.ts';

/** A layer's own directory, and the sides whose layer it is. */
interface NamedDirectory {
  readonly layer: SideLayer;
  readonly inode: DirectoryInode;
}

interface SideLayer {
  readonly reader: SquashfsReader;
  readonly guard: WalkGuard;
  /** Ascending. */
  readonly sides: readonly number[];
}

/** What the sides' layers themselves have at one path, whether or not their trees show it. */
export interface NamedPath {
  readonly directories: readonly NamedDirectory[];
  /** Sides that can differ from the ancestor anywhere below, because something of theirs hides what is there. */
  readonly covering: ReadonlySet<number>;
}

/** A name in a directory with the sides whose tree may differ from the ancestor's there. */
export interface NamedChild {
  readonly name: string;
  /** Ascending. */
  readonly sides: readonly number[];
  readonly named: NamedPath;
}

/** The roots of the layers of all sides. A layer that several sides have is read once. */
export async function namedRoots(sides: readonly MergeSide[], signal?: AbortSignal): Promise<NamedPath> {
  const owners = new Map<SquashfsReader, number[]>();
  for (const [side, { layers }] of sides.entries()) {
    for (const reader of new Set(layers)) {
      const known = owners.get(reader);
      if (known) known.push(side);
      else owners.set(reader, [side]);
    }
  }
  const directories: NamedDirectory[] = [];
  for (const [reader, of] of owners) {
    const layer = { reader, guard: reader.walkGuard(), sides: of };
    directories.push({ layer, inode: await reader.root(signal) });
  }
  return { directories, covering: new Set() };
}

/** Looking so many names up costs as much as reading the whole listing. */
const WORTH_LISTING = 16;

/**
 * The names in a directory at which several sides may differ from the ancestor, and those of `always`. What one side alone
 * names is listed with its directory and not looked at further. Each layer's directory may be asked for once; one that
 * forms no tree is `invalid-input`.
 */
export async function namedChildren(
  { directories, covering }: NamedPath,
  always: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<readonly NamedChild[]> {
  const found = new Map<string, { layer: SideLayer; entry: DirectoryEntry }[]>();
  for (const name of always) found.set(name, []);
  if (sidesOf(directories, covering).length > 1) {
    for (const { layer, inode } of directories) {
      layer.guard.enter(inode);
      for await (const run of layer.reader.listRuns(inode, signal)) {
        for (const entry of run) {
          const known = found.get(entry.name);
          if (known) known.push({ layer, entry });
          else found.set(entry.name, [{ layer, entry }]);
        }
      }
    }
  } else if (found.size >= WORTH_LISTING) {
    for (const { layer, inode } of directories) {
      layer.guard.enter(inode);
      for await (const run of layer.reader.listRuns(inode, signal)) {
        for (const entry of run) found.get(entry.name)?.push({ layer, entry });
      }
    }
  } else if (found.size > 0) {
    for (const { layer, inode } of directories) {
      for (const [name, known] of found) {
        const child = await layer.reader.child(inode, name, signal);
        if (child) known.push({ layer, entry: { name, type: child.type, ref: child.ref } });
      }
    }
  }
  const children: NamedChild[] = [];
  for (const [name, entries] of found) {
    const sides = sidesOf(entries, covering);
    if (sides.length < 2 && !always.has(name)) continue;
    children.push({ name, sides, named: await openNamed(entries, covering, signal) });
  }
  return children.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The same path, where some sides' trees turned out to have no directory: they differ from the ancestor below it. */
export function coveredBy({ directories, covering }: NamedPath, sides: readonly number[]): NamedPath {
  return sides.length === 0 ? { directories, covering } : { directories, covering: new Set([...covering, ...sides]) };
}

async function openNamed(
  entries: readonly { readonly layer: SideLayer; readonly entry: DirectoryEntry }[],
  above: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<NamedPath> {
  const directories: NamedDirectory[] = [];
  let covering = above;
  for (const { layer, entry } of entries) {
    const inode = entry.type === 'directory' ? await layer.reader.inode(entry, signal) : undefined;
    if (inode?.type === 'directory') directories.push({ layer, inode });
    if (inode && (inode.xattrIndex === undefined || !isOpaque(await layer.reader.xattrs(inode, signal)))) continue;
    covering = new Set([...covering, ...layer.sides]);
  }
  return { directories, covering };
}

function sidesOf(entries: readonly { readonly layer: SideLayer }[], covering: ReadonlySet<number>): readonly number[] {
  const [only] = entries;
  if (entries.length === 1 && covering.size === 0) return only!.layer.sides;
  const sides = new Set(covering);
  for (const { layer } of entries) for (const side of layer.sides) sides.add(side);
  return [...sides].sort((a, b) => a - b);
}
