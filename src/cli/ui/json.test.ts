import { expect, it } from 'vitest';
import { jsonFormatter } from './json.ts';

it('writes one canonical line per event', () => {
  const format = jsonFormatter({ debug: false });
  expect(format({ type: 'task-progress', id: 'pull-1', totalBytes: 8, doneBytes: 1, at: 7 })).toEqual([
    '{"at":7,"doneBytes":1,"id":"pull-1","totalBytes":8,"type":"task-progress"}',
  ]);
});

it('escapes what ends a line or drives a terminal, and stays readable for programs', () => {
  const text = 'a\nb\u001b[2J\u007f\u009b\u2028\u0000';
  const [line] = jsonFormatter({ debug: false })({ type: 'message', level: 'info', text, at: 0 });
  expect(line).toMatch(/^[ -~]*$/);
  expect(JSON.parse(line!)).toMatchObject({ text });
});

it('gives debug messages only where asked for', () => {
  const event = { type: 'message', level: 'debug', text: 'x', at: 0 } as const;
  expect(jsonFormatter({ debug: false })(event)).toEqual([]);
  expect(jsonFormatter({ debug: true })(event)).toHaveLength(1);
});
