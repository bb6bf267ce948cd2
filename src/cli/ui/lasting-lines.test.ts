import { describe, expect, it } from 'vitest';
import type { StkEvent } from '../../core/events.ts';
import { closingLines, lastingLines, outputSoFar } from './lasting-lines.ts';
import { painter } from './paint.ts';
import { initialState, reduce, type UiState } from './reduce.ts';

const paint = painter(false);

function after(...events: readonly StkEvent[]): UiState {
  return events.reduce(reduce, initialState);
}

const running = after(
  { type: 'task-started', id: 't', group: 'app', kind: 'run', label: 'run', at: 0 },
  { type: 'task-output', id: 't', group: 'app', stream: 'stderr', lines: ['+ make', '\u001b[2Joops'], at: 1 },
);
const ended = {
  type: 'task-finished',
  id: 't',
  group: 'app',
  kind: 'run',
  label: 'run',
  durationMs: 50,
  at: 2,
} as const;
const image = { type: 'image-finished', tags: ['app'], layers: 2, sizeBytes: 5e6, durationMs: 70, at: 3 } as const;
const message = (level: 'debug' | 'info' | 'warning' | 'error', group?: string) =>
  ({ type: 'message', level, text: 'one\ntwo', at: 1, ...(group === undefined ? {} : { group }) }) as const;

describe('lastingLines', () => {
  it.each<[string, StkEvent, readonly string[]]>([
    [
      'a failed task with its output',
      { ...ended, outcome: 'failed' },
      ['  │ + make', '  │ oops', '✗ app run: failed after 0.1s'],
    ],
    ['a done task without', { ...ended, outcome: 'done', detail: '1 MB' }, ['✓ app run: done in 0.1s, 1 MB']],
    ['a canceled task without', { ...ended, outcome: 'canceled' }, ['− app run: canceled after 0.1s']],
    ['a built image', { ...image, image: 'app', outcome: 'done' }, ['✓ app image built, 2 layers, 5.00 MB, in 0.1s']],
    ['a failed image', { ...image, image: 'app', outcome: 'failed' }, ['✗ app image failed after 0.1s']],
    ['a warning', message('warning', 'app'), ['! app warning: one', '  two']],
    ['an error', message('error'), ['✗ error: one', '  two']],
    ['news', message('info', 'app'), ['· app one', '  two']],
    ['details', message('debug'), []],
    ['output', { type: 'task-output', id: 't', group: 'app', stream: 'stdout', lines: ['x'], at: 1 }, []],
  ])('%s', (_what, event, expected) => {
    expect(lastingLines(running, event, { paint, debug: false })).toEqual(expected);
  });

  it('shows details where asked for', () => {
    expect(lastingLines(running, message('debug'), { paint, debug: true })).toEqual(['· one', '  two']);
  });
});

it('outputSoFar quotes running steps', () => {
  expect(outputSoFar(running, paint)).toEqual(['app run: output so far', '  │ + make', '  │ oops']);
});

it.each([
  [['done', 'cached', 'failed'], ['3 images: 1 built, 1 cached, 1 failed, in 2.0s']],
  [['cached', 'cached'], ['2 images: 2 cached, in 2.0s']],
  [['done'], []],
] as const)('closingLines after %j', (outcomes, expected) => {
  const images = ['a', 'b', 'c'].slice(0, outcomes.length);
  const finished = outcomes.map((outcome, index) => ({ ...image, image: images[index]!, outcome }));
  const state = after({ type: 'build-started', images, at: 1000 }, ...finished);
  expect(closingLines(state, 3000, paint)).toEqual(expected);
});
