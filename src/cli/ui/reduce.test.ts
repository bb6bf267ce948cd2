import { describe, expect, it } from 'vitest';
import type { StkEvent } from '../../core/events.ts';
import { initialState, KEPT_FINISHED, KEPT_MESSAGES, KEPT_OUTPUT_LINES, reduce, type UiState } from './reduce.ts';

function after(...events: readonly StkEvent[]): UiState {
  return events.reduce(reduce, initialState);
}

const started = { type: 'task-started', id: 't', group: 'app', kind: 'run', label: 'run', at: 10 } as const;
const output = (stream: 'stdout' | 'stderr', ...lines: string[]) =>
  ({ type: 'task-output', id: 't', group: 'app', stream, lines, at: 20 }) as const;
const finished = (outcome: 'done' | 'cached' | 'failed' | 'canceled', id = 't') =>
  ({ type: 'task-finished', id, group: 'app', kind: 'run', label: 'run', outcome, durationMs: 5, at: 30 }) as const;
const imageFinished = (image: string, outcome: 'done' | 'failed') =>
  ({ type: 'image-finished', image, outcome, tags: [], layers: 0, sizeBytes: 0, durationMs: 1, at: 2 }) as const;

describe('images', () => {
  it('go from waiting to running to their end, in the order of the recipe', () => {
    const state = after(
      { type: 'build-started', images: ['a', 'b', 'c'], at: 5 },
      { type: 'image-started', image: 'c', at: 6 },
      { type: 'image-started', image: 'b', at: 6 },
      imageFinished('b', 'failed'),
    );
    expect([...state.images]).toEqual([
      ['a', 'waiting'],
      ['b', 'failed'],
      ['c', 'running'],
    ]);
    expect(state.startedAt).toBe(5);
  });
});

describe('running tasks', () => {
  it('carry progress and their last output', () => {
    const state = after(
      started,
      { type: 'task-progress', id: 't', doneBytes: 3, totalBytes: 9, at: 11 },
      output('stderr', '+ make all'),
      output('stdout', '1%\r2%', '+ not a command'),
    );
    expect(state.running.get('t')).toEqual({
      id: 't',
      group: 'app',
      kind: 'run',
      label: 'run',
      startedAt: 10,
      doneBytes: 3,
      totalBytes: 9,
      lastLines: ['+ make all', '2%', '+ not a command'],
      command: 'make all',
    });
  });

  it('keep a bounded number of lines', () => {
    const lines = Array.from({ length: 1000 }, (_, index) => String(index));
    const state = after(started, output('stdout', ...lines), output('stdout', 'last'));
    const kept = state.running.get('t')!.lastLines;
    expect(kept).toHaveLength(KEPT_OUTPUT_LINES);
    expect(kept.slice(-2)).toEqual(['999', 'last']);
  });

  it.each([
    ['progress', { type: 'task-progress', id: 'x', doneBytes: 1, at: 1 }],
    ['output', { type: 'task-output', id: 'x', group: 'g', stream: 'stdout', lines: ['l'], at: 1 }],
  ] as const)('%s of an unknown task changes nothing', (_what, event) => {
    const before = after(started);
    expect(reduce(before, event)).toBe(before);
  });
});

describe('finished tasks', () => {
  it.each([
    ['failed', ['oops']],
    ['done', []],
    ['canceled', []],
  ] as const)('of outcome %s keep output %j', (outcome, lastLines) => {
    const state = after(started, output('stdout', 'oops'), finished(outcome));
    expect(state.running.size).toBe(0);
    expect(state.finished).toMatchObject([{ group: 'app', outcome, durationMs: 5, lastLines }]);
    expect(state.outcomes[outcome]).toBe(1);
  });

  it('are counted all but kept bounded', () => {
    const events = Array.from({ length: 200 }, (_, index) => finished('done', `t${index}`));
    const state = after(...events);
    expect(state.outcomes.done).toBe(200);
    expect(state.finished).toHaveLength(KEPT_FINISHED);
  });
});

it('messages above debug are kept, bounded', () => {
  const message = (level: 'debug' | 'info', text: string) => ({ type: 'message', level, text, at: 1 }) as const;
  const state = after(message('debug', 'd'), ...Array.from({ length: 100 }, (_, n) => message('info', String(n))));
  expect(state.messages).toHaveLength(KEPT_MESSAGES);
  expect(state.messages.at(-1)).toMatchObject({ text: '99' });
});

it('never changes a state that was handed out', () => {
  const before = after({ type: 'build-started', images: ['app'], at: 0 }, started);
  const copy = structuredClone(before);
  for (const event of [output('stdout', 'x'), finished('done'), imageFinished('app', 'done')]) reduce(before, event);
  expect(before).toEqual(copy);
});
