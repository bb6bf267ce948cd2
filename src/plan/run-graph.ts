import { StkError } from '../core/errors.ts';
import { Limiter } from '../core/limiter.ts';

/** A directed acyclic graph of work: node names and, for each, the names that it waits for. */
export type Graph = ReadonlyMap<string, readonly string[]>;

export interface RunGraphOptions {
  /** How many nodes work at once. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
  /** Called for every node that never started because another failed. */
  readonly onCanceled?: (node: string) => void;
}

/**
 * Does the work of every node once all that it waits for is done; nodes that do not depend on each other run side by
 * side. On the first failure the others' signal fires, they are awaited, and the failure is thrown.
 */
export async function runGraph<R>(
  graph: Graph,
  work: (node: string, results: ReadonlyMap<string, R>, signal: AbortSignal) => Promise<R>,
  options: RunGraphOptions,
): Promise<ReadonlyMap<string, R>> {
  topologicalOrder(graph);
  const controller = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  const limiter = new Limiter(options.limit);
  const results = new Map<string, R>();
  const running = new Map<string, Promise<boolean>>();
  let failure: { error: unknown } | undefined;

  const run = (node: string): Promise<boolean> => {
    const started = running.get(node);
    if (started) return started;
    const promise = (async () => {
      const ready = await Promise.all((graph.get(node) ?? []).map(run));
      if (ready.includes(false) || signal.aborted) {
        options.onCanceled?.(node);
        return false;
      }
      try {
        results.set(node, await limiter.run(() => work(node, results, signal), signal));
        return true;
      } catch (error) {
        failure ??= { error };
        controller.abort(new StkError('interrupted', 'another image failed'));
        return false;
      }
    })();
    running.set(node, promise);
    return promise;
  };

  await Promise.all([...graph.keys()].map(run));
  if (failure) throw failure.error;
  if (signal.aborted) throw new StkError('interrupted', 'interrupted', { cause: signal.reason });
  return results;
}

/** Nodes so that each comes after all that it waits for, otherwise in the given order. Throws a plain Error on a cycle. */
export function topologicalOrder(graph: Graph): string[] {
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (node: string): void => {
    const seen = state.get(node);
    if (seen === 'done') return;
    if (seen === 'open') throw new Error(`cycle through ${node}`);
    state.set(node, 'open');
    for (const next of graph.get(node) ?? []) {
      if (!graph.has(next)) throw new Error(`${node} waits for ${next}, which does not exist`);
      visit(next);
    }
    state.set(node, 'done');
    order.push(node);
  };
  for (const node of graph.keys()) visit(node);
  return order;
}

/** The nodes that the wanted ones reach, themselves included, in the graph's own order. */
export function reachable(graph: Graph, wanted: readonly string[]): Graph {
  const found = new Set<string>();
  const pending = [...wanted];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    pending.push(...(graph.get(node) ?? []));
  }
  return new Map([...graph].filter(([node]) => found.has(node)));
}
