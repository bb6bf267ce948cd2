import { throwIfAborted } from '../core/errors.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { WalkGuard } from '../squashfs/walk.ts';
import { comparePlacedNodes, type Aspect, type PlacedNode } from './diff-nodes.ts';

/** A path that two trees show differently. */
export interface TreeChange {
  /** In the form of `imagePath`, as a byte string. */
  readonly path: string;
  /** `undefined`: the path is new. */
  readonly before: MergedNode | undefined;
  /** `undefined`: the path is gone. */
  readonly after: MergedNode | undefined;
  /** What is different where both have the path; never times. */
  readonly aspects: readonly Aspect[];
}

export interface DiffRequest {
  /** Layers that both trees have must be the same `SquashfsReader` in both: that is how they are known to be equal. */
  readonly before: LayerStack | undefined;
  readonly after: LayerStack | undefined;
  /** Only these paths and what lies below, in the form of `imagePath`; default everything. */
  readonly paths?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

interface Task {
  readonly path: string;
  readonly before: MergedNode | undefined;
  readonly after: MergedNode | undefined;
}

/**
 * All paths that differ, parents before what they hold, names ascending by bytes. Directories that both trees take from
 * the same layers are not entered, and in the others only those names are looked at that a differing layer has, so the
 * work grows with what differs. Throws as `SquashfsReader` does. Disposes nothing.
 */
export async function* diffTrees(request: DiffRequest): AsyncGenerator<TreeChange, void, undefined> {
  const { before, after, signal } = request;
  const wanted = pathFilter(request.paths ?? []);
  const guards = new Guards();
  const pending: Task[] = [{ path: '', before: await before?.root(signal), after: await after?.root(signal) }];
  for (let task = pending.pop(); task; task = pending.pop()) {
    throwIfAborted(signal);
    const old = placed(before, task.before);
    const now = placed(after, task.after);
    if (wanted.has(task.path)) {
      const aspects = old && now ? await comparePlacedNodes(old, now, signal) : [];
      if (!old || !now || aspects.length > 0) yield { ...task, aspects };
    }
    const names = await differingNames(old, now, guards, signal);
    for (const name of names.toReversed()) {
      const path = task.path === '' ? name : `${task.path}/${name}`;
      if (!wanted.leadsTo(path)) continue;
      const child: Task = {
        path,
        before: task.before && (await before?.child(task.before, name, signal)),
        after: task.after && (await after?.child(task.after, name, signal)),
      };
      if (child.before || child.after) pending.push(child);
    }
  }
}

function placed(stack: LayerStack | undefined, node: MergedNode | undefined): PlacedNode | undefined {
  return stack && node && { stack, node };
}

/**
 * Names that the merged directories may show differently: those of the layers' directories that only one side merges. A
 * name that only common ones have is found the same way on both sides, as long as these lie in the same order.
 */
async function differingNames(
  old: PlacedNode | undefined,
  now: PlacedNode | undefined,
  guards: Guards,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const [left, right] = [directoriesOf(old), directoriesOf(now)];
  const [inLeft, inRight] = [new Set(left.map(({ key }) => key)), new Set(right.map(({ key }) => key))];
  const common = left.filter(({ key }) => inRight.has(key)).map(({ key }) => key);
  const sameOrder = right.filter(({ key }) => inLeft.has(key)).every(({ key }, index) => key === common[index]);
  const entered = new Map([...left, ...right].map(directory => [directory.key, directory]));
  const names = new Set<string>();
  for (const [key, { reader, inode }] of entered) {
    if (sameOrder && inLeft.has(key) && inRight.has(key)) continue;
    guards.of(reader).enter(inode);
    for await (const run of reader.listRuns(inode, signal)) for (const entry of run) names.add(entry.name);
  }
  return [...names].sort();
}

function directoriesOf(place: PlacedNode | undefined) {
  return (place?.node.directories ?? []).map(({ layer, inode }) => {
    const reader = place!.stack.layers[layer]!;
    return { reader, inode, key: `${readerNumber(reader)}:${inode.ref}` };
  });
}

const numbers = new WeakMap<SquashfsReader, number>();
let lastNumber = 0;

/** Tells readers apart whatever their names. */
function readerNumber(reader: SquashfsReader): number {
  const known = numbers.get(reader);
  if (known !== undefined) return known;
  numbers.set(reader, ++lastNumber);
  return lastNumber;
}

/** One guard for each layer, against directories that form no tree. */
class Guards {
  readonly #guards = new Map<SquashfsReader, WalkGuard>();

  of(reader: SquashfsReader): WalkGuard {
    const known = this.#guards.get(reader) ?? reader.walkGuard();
    this.#guards.set(reader, known);
    return known;
  }
}

interface PathFilter {
  has(path: string): boolean;
  /** Whether the path or something below it is wanted. */
  leadsTo(path: string): boolean;
}

function pathFilter(paths: readonly string[]): PathFilter {
  const isBelow = (path: string, top: string) => top === '' || path === top || path.startsWith(`${top}/`);
  if (paths.length === 0) return { has: () => true, leadsTo: () => true };
  const has = (path: string) => paths.some(top => isBelow(path, top));
  return { has, leadsTo: path => has(path) || paths.some(top => isBelow(top, path)) };
}
