import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { start } from '../../test/rig/http-server.ts';
import { DEFAULT_RETRY } from './http-retry.ts';
import { Patience } from './patience.ts';

/** Clocks that the test turns. */
function rig(budgetMs: number) {
  const clock = { nowMs: 0 };
  const patience = new Patience(
    {
      retry: DEFAULT_RETRY,
      now: () => clock.nowMs,
      random: () => 1,
      delay: async delayMs => void (clock.nowMs += delayMs),
      quietMs: 20_000,
      onQuiet: () => {},
    },
    'reading',
    budgetMs,
  );
  return { clock, patience };
}

describe('patience', () => {
  it('counts silence and pauses, over all tries', async () => {
    const { clock, patience } = rig(120_000);
    clock.nowMs += 60_000;
    expect(await patience.again('silence', undefined)).toBe(true);
    expect(patience.leftMs).toBe(59_800);
    clock.nowMs += 59_000;
    expect(await patience.again('silence', undefined)).toBe(true);
    clock.nowMs += 1000;
    expect(await patience.again('silence', undefined)).toBe(false);
  });

  it('does not count what somebody else takes', async () => {
    const { clock, patience } = rig(10_000);
    patience.hold();
    clock.nowMs += 60_000;
    expect(await patience.again('silence', undefined)).toBe(true);
    expect(patience.leftMs).toBe(9800);
  });

  it('begins anew when bytes moved, not for a few of them', async () => {
    const { clock, patience } = rig(10_000);
    for (let round = 0; round < 50; round++) {
      patience.moved(300_000);
      clock.nowMs += 9000;
      expect(await patience.again('a drop', undefined)).toBe(true);
    }
    let tries = 0;
    do patience.moved(10);
    while ((await patience.again('a drop', undefined)) && ++tries < 100);
    expect(tries).toBeLessThan(10);
  });

  it('is at an end at once where the server asks for more than is left', () => {
    const { patience } = rig(10_000);
    expect(patience.next('busy', { askedMs: 11_000 })).toBeUndefined();
    expect(patience.next('busy', { askedMs: 9000 })).toBe(9000);
  });
});

describe('a server that falls silent', () => {
  it.each([
    ['before its answer', (_: unknown, response: { write: (text: string) => void }) => void response],
    ['within it', (_: unknown, response: { write: (text: string) => void }) => response.write('begun')],
  ])('%s is told of, with what, and how long', async (_when, answer) => {
    const stop = new AbortController();
    const told = new EventTarget();
    const first = once(told, 'quiet');
    const onQuiet = (text: string) => told.dispatchEvent(new MessageEvent('quiet', { data: text }));
    await using server = await start(answer, { quietMs: 5, onQuiet, now: Date.now });
    const reading = server.client
      .request({ url: server.url, signal: stop.signal })
      .then(response => response.bytes(100))
      .catch((error: unknown) => error);
    const [event] = (await first) as [{ readonly data: string }];
    expect(event.data).toMatch(/^GET http:\/\/127\.0\.0\.1:\d+\/a: nothing for \d+\.\ds; given up after 2m00s$/);
    stop.abort();
    await reading;
  });
});
