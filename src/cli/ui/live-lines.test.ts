import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StkEvent } from '../../core/events.ts';
import { displayWidth } from './display-width.ts';
import { liveLines } from './live-lines.ts';
import { painter } from './paint.ts';
import { initialState, reduce } from './reduce.ts';

const paint = painter(false);

const working: readonly StkEvent[] = [
  { type: 'build-started', images: ['base', 'app', '日本語サービス'], at: 0 },
  { type: 'image-started', image: 'app', at: 0 },
  { type: 'image-started', image: '日本語サービス', at: 0 },
  { type: 'task-started', id: 'p', group: 'docker://h:5000/debian', kind: 'pull', label: 'aabbccddeeff', at: 0 },
  { type: 'task-progress', id: 'p', doneBytes: 25e6, totalBytes: 100e6, at: 1000 },
  { type: 'task-started', id: 'k', group: 'app', kind: 'pack', label: 'imports /opt', at: 500 },
  { type: 'task-progress', id: 'k', doneBytes: 3e6, at: 1000 },
  { type: 'task-started', id: 'r', group: '日本語サービス', kind: 'run', label: 'run', at: 1000 },
  { type: 'task-output', id: 'r', group: '日本語サービス', stream: 'stderr', lines: ['+ make', 'a\tb'], at: 1100 },
];

function lines(events: readonly StkEvent[], columns: number, rows = 24): readonly string[] {
  return liveLines(events.reduce(reduce, initialState), { columns, rows, now: 3000, paint });
}

describe('liveLines', () => {
  it('shows a wide terminal everything', () => {
    expect(lines(working, 100).join('\n')).toMatchInlineSnapshot(`
      "⠋ docker://h:5000/debian pull aabbccddeeff       ━━━━━─────────────── 25.0 MB / 100 MB   25%   3.0s
      ⠋ app                    pack imports /opt                                           3.00 MB   2.5s
      ⠋ 日本語サービス         run: make                                                             2.0s
        │ + make
        │ a       b
      3.0s · 0 of 3 images · 3 running"
    `);
  });

  it('gives up the bar, then the bytes, on narrow ones', () => {
    expect(lines(working, 70).join('\n')).toMatchInlineSnapshot(`
      "⠋ …://h:5000/debian pull aabbccddeeff   25.0 MB / 100 MB   25%   3.0s
      ⠋ app               pack imports /opt                  3.00 MB   2.5s
      ⠋ 日本語サービス    run: make                                    2.0s
        │ + make
        │ a       b
      3.0s · 0 of 3 images · 3 running"
    `);
    expect(lines(working, 40).join('\n')).toMatchInlineSnapshot(`
      "⠋ …0/debian pull aabbccdde…  25%   3.0s
      ⠋ app       pack import… 3.00 MB   2.5s
      ⠋ …サービス run: make              2.0s
        │ + make
        │ a       b
      3.0s · 0 of 3 images · 3 running"
    `);
  });

  it('gives up output, then tasks, on low ones', () => {
    expect(lines(working, 40, 7).join('\n')).toMatchInlineSnapshot(`
      "⠋ …0/debian pull aabbccdde…  25%   3.0s
      ⠋ app       pack import… 3.00 MB   2.5s
      ⠋ …サービス run: make              2.0s
        │ a       b
      3.0s · 0 of 3 images · 3 running"
    `);
    expect(lines(working, 40, 5).join('\n')).toMatchInlineSnapshot(`
      "⠋ …0/debian pull aabbccdde…  25%   3.0s
        … and 2 more
      3.0s · 0 of 3 images · 3 running"
    `);
  });

  it('shares the room for output among the tasks', () => {
    const talking = ['a', 'b'].flatMap((id): StkEvent[] => [
      { type: 'task-started', id, group: id, kind: 'run', label: 'run', at: 3000 },
      { type: 'task-output', id, group: id, stream: 'stdout', lines: ['1', '2', '3', '4', '5'], at: 3000 },
    ]);
    expect(lines(talking, 40, 8).join('\n')).toMatchInlineSnapshot(`
      "⠋ a run                            0.0s
        │ 4
        │ 5
      ⠋ b run                            0.0s
        │ 5
      0.0s · 0 done · 2 running"
    `);
  });

  it('is empty while nothing is known', () => {
    expect(lines([], 80)).toEqual([]);
  });

  it('counts tasks where no images are built', () => {
    const [, summary] = lines([{ type: 'task-started', id: 'c', group: 'x', kind: 'copy', label: 'copy', at: 0 }], 80);
    expect(summary).toBe('3.0s · 0 done · 1 running');
  });

  it('fits every terminal', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '日', '\u0301', '\u{1f600}', '\t', '\u001b[2J', '\r') });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, text, fc.option(fc.nat()))),
        fc.integer({ min: 1, max: 150 }),
        fc.integer({ min: 1, max: 30 }),
        (tasks, columns, rows) => {
          const events = tasks.flatMap(([group, line, total], index): StkEvent[] => [
            { type: 'task-started', id: `${index}`, group, kind: 'run', label: line, at: 0 },
            { type: 'task-output', id: `${index}`, group, stream: 'stderr', lines: [line, `+ ${line}`], at: 1 },
            {
              type: 'task-progress',
              id: `${index}`,
              doneBytes: 7,
              ...(total === null ? {} : { totalBytes: total }),
              at: 2,
            },
          ]);
          const shown = lines(events, columns, rows);
          expect(shown.length).toBeLessThan(Math.max(3, rows));
          for (const line of shown) expect(displayWidth(line)).toBeLessThanOrEqual(Math.max(1, columns - 1));
        },
      ),
    );
  });
});
