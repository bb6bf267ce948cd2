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

describe('runGraph', () => {
  it('gives each node the results below it, whatever the limit', async () => {
    const arbitrary = fc.array(fc.array(fc.nat(), { maxLength: 4 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(arbitrary, fc.integer({ min: 1, max: 4 }), async (rows, limit) => {
        const graph: Graph = new Map(rows.map((row, n) => [String(n), n === 0 ? [] : row.map(d => String(d % n))]));
        const results = await runGraph<number>(
          graph,
          async (node, below) => 1 + Math.max(0, ...(graph.get(node) ?? []).map(dep => below.get(dep)!)),
          { limit },
        );
        expect(results.size).toBe(graph.size);
      }),
    );
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
