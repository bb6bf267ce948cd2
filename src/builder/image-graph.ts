import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { reachable, topologicalOrder, type Graph } from '../plan/run-graph.ts';
import { dependenciesOf } from '../recipe/dependencies.ts';
import type { Recipe } from '../recipe/model.ts';
import { hostUse, isOrdered, isFedBy, RealPaths, type HostUse } from './host-use.ts';
import type { LayerType } from './layer-types.ts';

export interface ImageGraphOptions {
  /** Images that are wanted, with what they need; none means all. Throws `usage` for one that is not there. */
  readonly names: readonly string[];
  /** Directory of the layout that images are written to. */
  readonly layout: AbsPath;
  readonly layerTypes: readonly LayerType[];
}

/**
 * What waits for what among the images of all recipes, in file order. An image waits for those that it names, and for
 * those before it that use the same files of the host where one of the two may write them: these are built as if all
 * images were built in turn. A wanted image brings with it those that may make its files.
 */
export async function imageGraph(recipes: readonly Recipe[], options: ImageGraphOptions): Promise<Graph> {
  const images = recipes.flatMap(recipe => recipe.images);
  const named: Graph = new Map(images.map(image => [image.name, dependenciesOf(image).map(edge => edge.image)]));
  for (const name of options.names) {
    if (named.has(name)) continue;
    throw new StkError('usage', `the recipe has no image ${name}`, { hint: `it has: ${[...named.keys()].join(', ')}` });
  }
  const uses = new Map<string, HostUse>();
  const paths = new RealPaths();
  for (const image of images) uses.set(image.name, await hostUse(image, options, paths));
  // What an image names comes before it, wherever in the file it is.
  const order = topologicalOrder(named);
  const needs = withEdges(named, order, (later, earlier) => isFedBy(uses.get(later)!, uses.get(earlier)!));
  const wanted = options.names.length === 0 ? needs : reachable(needs, options.names);
  const wantedOrder = order.filter(name => wanted.has(name));
  return withEdges(wanted, wantedOrder, (later, earlier) => isOrdered(uses.get(later)!, uses.get(earlier)!));
}

/** Adds edges from later to earlier nodes of an order that agrees with the graph, so that no cycle can arise. */
function withEdges(graph: Graph, order: readonly string[], waits: (later: string, earlier: string) => boolean): Graph {
  const added = new Map(
    order.map((later, at) => [later, order.slice(0, at).filter(earlier => waits(later, earlier))] as const),
  );
  return new Map([...graph].map(([name, edges]) => [name, [...new Set([...edges, ...added.get(name)!])]]));
}
