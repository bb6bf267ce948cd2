import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { TraceRecorder, parseTrace, rangesOf, recordedTrace } from './read-trace.ts';

const [one, two] = [digestOf('one'), digestOf('two')];
const KIB = 1024;

it('holds what was read first, in order, neighbours together', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'trace-'));
  try {
    const file = path.join(directory, 'trace') as AbsPath;
    {
      await using recorder = new TraceRecorder(file);
      recorder.add(one, 0, 10);
      recorder.add(one, 64 * KIB, 70 * KIB);
      recorder.add(two, 1000 * KIB, 1);
      recorder.add(one, 5, 10);
      recorder.add(one, 500 * KIB, 1);
    }
    const trace = recordedTrace(await readFile(file, 'utf8'));
    expect(trace).toEqual({
      version: 1,
      layers: [one, two],
      reads: [
        [0, 0, 192 * KIB],
        [1, 960 * KIB, 64 * KIB],
        [0, 448 * KIB, 64 * KIB],
      ],
    });
    expect(parseTrace(JSON.stringify(trace))).toEqual(trace);
    expect(rangesOf(trace, one)).toEqual([
      [0, 192 * KIB],
      [448 * KIB, 64 * KIB],
    ]);
    expect(rangesOf(trace, digestOf('three'))).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

it.each(['', '[]', '{"version":2,"layers":[],"reads":[]}', '{"version":1,"layers":["x"],"reads":[]}'])(
  'refuses %s',
  text => expect(() => parseTrace(text)).toThrow(expect.objectContaining({ code: 'invalid-input' })),
);

it('refuses reads that are none', () => {
  const text = JSON.stringify({ version: 1, layers: [one], reads: [[0, -1, 5]] });
  expect(() => parseTrace(text)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
});
