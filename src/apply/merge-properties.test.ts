import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  Layers,
  shownTree,
  withMergeLayer,
  type LayerContent,
  type LayerNode,
} from '../../test/fixtures/merge-layers.ts';
import { mergeTrees } from './merge-trees.ts';

type Payload = 'directory' | `file ${string}` | `link ${string}`;
interface Node {
  readonly payload: Payload;
  readonly mode: number;
}
/** A whole tree without its root, parents always there. */
type Tree = ReadonlyMap<string, Node>;

const NAMES = ['a', 'b', 'a-b'];
const PATHS = NAMES.flatMap(one => [one, ...NAMES.flatMap(two => [`${one}/${two}`, `${one}/${two}/c`])]);
// NUL bytes make a file something that cannot be merged by lines.
const payload = fc.constantFrom<Payload>('directory', 'directory', 'file \0', 'file \0x', 'link t');
const node = fc
  .record({ payload, mode: fc.constantFrom(0o755, 0o700) })
  .map(made => (made.payload.startsWith('link') ? { ...made, mode: 0o777 } : made));
const change = fc.record({ path: fc.constantFrom(...PATHS), node: fc.option(node, { freq: 3 }) });

const noDirectory = { payload: 'directory', mode: 0o755 } as const;

/** Puts nodes in place as a program would: parents are made, what is in the way goes, and what it held. */
function changed(tree: Tree, changes: readonly { readonly path: string; readonly node: Node | null }[]): Tree {
  const next = new Map(tree);
  const remove = (path: string) => {
    for (const known of next.keys()) if (known === path || known.startsWith(`${path}/`)) next.delete(known);
  };
  for (const { path, node: made } of changes) {
    if (made?.payload !== 'directory' || next.get(path)?.payload !== 'directory') remove(path);
    if (made === null) continue;
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      if (next.get(parent)?.payload === 'directory') continue;
      remove(parent);
      next.set(parent, noDirectory);
    }
    next.set(path, made);
  }
  return next;
}

function layerNode({ payload: kind, mode }: Node): LayerNode {
  if (kind === 'directory') return { directory: 'plain', mode };
  return kind.startsWith('file ') ? { file: kind.slice(5), mode } : { link: kind.slice(5), mode };
}

/**
 * A layer that makes one tree of another. `noise` chooses what a layer may do as well: copy up what it does not change, and
 * replace a directory by an opaque one.
 */
function layerBetween(from: Tree, to: Tree, noise: readonly number[]): LayerContent {
  const layer: Record<string, LayerNode> = {};
  const opaque = new Set<string>();
  let chance = 0;
  const noisy = () => noise.length > 0 && noise[chance++ % noise.length] === 0;
  for (const path of [...new Set([...from.keys(), ...to.keys()])].toSorted()) {
    const [old, now] = [from.get(path), to.get(path)];
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    const alone = [...opaque].some(above => path.startsWith(`${above}/`));
    if (now === undefined) {
      if (!alone && to.get(parent)?.payload === 'directory' && from.get(parent)?.payload === 'directory')
        layer[path] = null;
      if (parent === '') layer[path] = null;
      continue;
    }
    const same = old?.payload === now.payload && old.mode === now.mode;
    if (same && !alone && !noisy()) continue;
    layer[path] = layerNode(now);
    if (now.payload !== 'directory') continue;
    // Overlayfs marks every new directory, and one that replaces another hides it by that.
    if (old?.payload !== 'directory' || noisy()) {
      layer[path] = { directory: 'opaque', mode: now.mode };
      opaque.add(path);
    }
  }
  for (const path of Object.keys(layer)) {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      layer[parent] ??= layerNode(to.get(parent)!);
    }
  }
  return layer;
}

/** What the sides' trees together should be, by the definition alone; `undefined` where they clash. */
function expected(ancestor: Tree, sides: readonly Tree[]): Tree | undefined {
  const merged = new Map<string, Node>();
  for (const path of new Set([ancestor, ...sides].flatMap(tree => [...tree.keys()]))) {
    const old = ancestor.get(path);
    const versions = sides
      .map(side => side.get(path))
      .filter(now => now?.payload !== old?.payload || now?.mode !== old?.mode);
    const payloads = new Set(versions.map(now => now?.payload).filter(now => old === undefined || now !== old.payload));
    const modes = new Set(versions.map(now => now?.mode).filter(mode => old === undefined || mode !== old.mode));
    const types = new Set(versions.map(now => now?.payload.split(' ')[0]));
    const differ = new Set(versions.map(now => now && `${now.payload} ${now.mode}`)).size > 1;
    if (differ && (types.size > 1 || payloads.size > 1 || modes.size > 1)) return undefined;
    if (versions.length > 0 && versions[0] === undefined) continue;
    const [kind = old?.payload] = payloads;
    const [mode = old?.mode] = modes;
    if (kind !== undefined && mode !== undefined) merged.set(path, { payload: kind, mode });
  }
  for (const path of merged.keys()) {
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if (parent !== '' && merged.get(parent)?.payload !== 'directory') return undefined;
  }
  return merged;
}

const layers = new Layers();

async function shown(tree: Tree): Promise<Record<string, string>> {
  return shownTree(await layers.stack([Object.fromEntries([...tree].map(([path, each]) => [path, layerNode(each)]))]));
}

const problems = fc.record({
  ancestor: fc.array(change, { maxLength: 8 }),
  sides: fc.array(
    fc.record({
      first: fc.array(change, { maxLength: 4 }),
      second: fc.array(change, { maxLength: 2 }),
      noise: fc.array(fc.nat({ max: 3 }), { maxLength: 5 }),
    }),
    { minLength: 2, maxLength: 3 },
  ),
});

type Problem = typeof problems extends fc.Arbitrary<infer T> ? T : never;

function build({ ancestor, sides }: Problem) {
  const base = changed(new Map(), ancestor);
  const trees = sides.map(({ first, second, noise }, index) => {
    const between = changed(base, first);
    const tree = changed(between, second);
    const own = [layerBetween(base, between, noise), layerBetween(between, tree, noise)];
    return { name: `side${index}`, tree, layers: own.filter(layer => Object.keys(layer).length > 0) };
  });
  return { base: layerBetween(new Map(), base, []), tree: base, sides: trees };
}

it('what is merged is what the definition says, whatever the layers look like and in whichever order', async () => {
  let merged = 0;
  await fc.assert(
    fc.asyncProperty(problems, fc.boolean(), async (made, backwards) => {
      const { base, tree, sides } = build(made);
      if (backwards) sides.reverse();
      const problem = await layers.applied([base], sides);
      for (const [index, side] of sides.entries()) {
        expect(await shownTree(problem.sides[index]!.tree), 'the layers make the tree').toEqual(await shown(side.tree));
      }
      const result = await mergeTrees(problem, { drivers: [] });
      const wanted = expected(
        tree,
        sides.map(side => side.tree),
      );
      expect(result.conflicts.map(({ message }) => message).slice(0, wanted === undefined ? 0 : 9)).toEqual([]);
      if (wanted === undefined) {
        expect(result.conflicts).not.toEqual([]);
        return;
      }
      const onTop = await withMergeLayer(problem, result);
      const stack = onTop?.stack ?? problem.plain!;
      expect(await shownTree(stack)).toEqual(await shown(wanted));
      if (onTop) merged++;
      const again = await mergeTrees({ ...problem, plain: stack }, { drivers: [] });
      expect([again.entries, again.conflicts]).toEqual([[], []]);
    }),
    { numRuns: 60 },
  );
  expect(merged).toBeGreaterThan(2);
}, 300_000);

it.each(['first', 'last'] as const)(
  'a rule %s for everything leaves no conflict and a whole tree',
  async resolution => {
    await fc.assert(
      fc.asyncProperty(problems, async made => {
        const { base, sides } = build(made);
        const rules = { '/**': resolution };
        const problem = await layers.applied(
          [base],
          sides.map(side => ({ ...side, rules })),
        );
        const result = await mergeTrees(problem, { drivers: [] });
        expect(result.conflicts).toEqual([]);
        const onTop = await withMergeLayer(problem, result);
        const again = await mergeTrees({ ...problem, plain: onTop?.stack ?? problem.plain }, { drivers: [] });
        expect(again.entries).toEqual([]);
        if (!onTop) return;
        const known = await Promise.all(problem.sides.map(side => shownTree(side.tree)));
        for (const [path, line] of Object.entries(await shownTree(onTop.stack))) {
          const kind = line.split(' ')[0];
          expect(
            known.some(tree => tree[path]?.split(' ')[0] === kind),
            path,
          ).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  },
  300_000,
);
