import { expect, it } from 'vitest';
import { RequestQueue, type Priority } from './request-queue.ts';

/** Work that ends when it is told to. */
function gate(): { readonly work: () => Promise<void>; readonly open: () => void } {
  let open = () => {};
  const opened = new Promise<void>(resolve => (open = resolve));
  return { work: () => opened, open };
}

it('lets who is waited for go first, and keeps places for them', async () => {
  const queue = new RequestQueue(4);
  const order: string[] = [];
  const gates = new Map<string, () => void>();
  const enter = (name: string, priority: Priority) => {
    const { work, open } = gate();
    gates.set(name, open);
    return queue.run(priority, () => (order.push(name), work()));
  };
  const all = [
    enter('background 1', 'background'),
    enter('background 2', 'background'),
    enter('background 3', 'background'),
  ];
  all.push(
    enter('prefetch', 'prefetch'),
    enter('demand 1', 'demand'),
    enter('demand 2', 'demand'),
    enter('demand 3', 'demand'),
  );
  expect(order).toEqual(['background 1', 'background 2', 'demand 1', 'demand 2']);
  gates.get('background 1')!();
  await all[0];
  expect(order.at(-1)).toBe('demand 3');
  for (const name of ['demand 1', 'demand 2', 'demand 3']) gates.get(name)!();
  await Promise.all(all.slice(4));
  expect(order.slice(5)).toEqual(['prefetch']);
  gates.get('prefetch')!();
  await all[3];
  expect(order.at(-1)).toBe('background 3');
  for (const open of gates.values()) open();
  await Promise.all(all);
});

it('forgets who gave up', async () => {
  const queue = new RequestQueue(3);
  const gates = Array.from({ length: 3 }, gate);
  const running = gates.map(({ work }) => queue.run('demand', work));
  const controller = new AbortController();
  const waiting = queue.run('demand', async () => 'never', controller.signal);
  const next = queue.run('demand', async () => 'next');
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
  for (const { open } of gates) open();
  expect(await next).toBe('next');
  await Promise.all(running);
});
