import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentKey } from './content-key.ts';
import { reachable, runGraph, topologicalOrder, type Graph } from './run-graph.ts';

const diamond: Graph = new Map([
  ['app', ['left', 'right']],
  ['left', ['base']],
  ['right', ['base']],
  ['base', []],
]);

describe('topologicalOrder', () => {
  it('puts every node after what it waits for', () => {
    expect(topologicalOrder(diamond)).toEqual(['base', 'left', 'right', 'app']);
  });

  it('refuses a cycle and a missing node', () => {
    expect(() => topologicalOrder(new Map([['a', ['a']]]))).toThrow('cycle');
    expect(() => topologicalOrder(new Map([['a', ['b']]]))).toThrow('does not exist');
  });
});

it('reachable keeps what the wanted nodes need', () => {
  expect([...reachable(diamond, ['left']).keys()]).toEqual(['left', 'base']);
});

/** How high each node stands, and the most nodes that were worked on at once. */
async function heightsOf(graph: Graph, limit: number) {
  let [running, most] = [0, 0];
  const heights = await runGraph<number>(
    graph,
    async (node, below) => {
      most = Math.max(most, ++running);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      running--;
      return 1 + Math.max(0, ...graph.get(node)!.map(dep => below.get(dep)!));
    },
    { limit },
  );
  return { heights, most };
}

describe('runGraph', () => {
  it('gives each node the results below it, whatever the limit', async () => {
    const arbitrary = fc.array(fc.array(fc.nat(), { maxLength: 4 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(arbitrary, fc.integer({ min: 1, max: 4 }), async (rows, limit) => {
        const graph: Graph = new Map(rows.map((row, n) => [String(n), n === 0 ? [] : row.map(d => String(d % n))]));
        const { heights, most } = await heightsOf(graph, limit);
        // A node waits for smaller numbers alone, so that one pass in their order is enough.
        const expected = new Map<string, number>();
        for (const [node, below] of graph) expected.set(node, 1 + Math.max(0, ...below.map(dep => expected.get(dep)!)));
        expect(new Map([...heights].toSorted(([a], [b]) => Number(a) - Number(b)))).toEqual(expected);
        expect(most).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it.each([1, 2, 3, 5, 8])('works on %i nodes at once where as many are ready', async limit => {
    const graph: Graph = new Map(Array.from({ length: 6 }, (_, n) => [String(n), []]));
    expect((await heightsOf(graph, limit)).most).toBe(Math.min(limit, 6));
  });

  it('aborts running siblings, never starts what waits, and throws the first failure', async () => {
    const events: string[] = [];
    const graph: Graph = new Map([
      ['bad', []],
      ['slow', []],
      ['after', ['slow']],
    ]);
    const run = runGraph(
      graph,
      async (node, _below, signal) => {
        events.push(`start ${node}`);
        if (node === 'bad') throw new Error('bad failed');
        await new Promise(resolve => signal.addEventListener('abort', resolve));
        events.push('slow aborted');
        throw new Error('aborted');
      },
      { limit: 2, onCanceled: node => events.push(`canceled ${node}`) },
    );
    await expect(run).rejects.toThrow('bad failed');
    expect(events).toEqual(['start bad', 'start slow', 'slow aborted', 'canceled after']);
  });

  it('ends as interrupted when the caller aborts', async () => {
    const controller = new AbortController();
    const run = runGraph(
      new Map([['a', []]]),
      async () => {
        controller.abort();
      },
      { limit: 1, signal: controller.signal },
    );
    await expect(run).rejects.toMatchObject({ code: 'interrupted' });
  });
});

it('keys differ by kind, parent and inputs, not by the order of members', () => {
  const key = contentKey('run', 'p', { a: 1, b: 2 });
  expect(contentKey('run', 'p', { b: 2, a: 1 })).toBe(key);
  for (const other of [contentKey('pack', 'p', { a: 1, b: 2 }), contentKey('run', 'q', { a: 1, b: 2 })]) {
    expect(other).not.toBe(key);
  }
});
