import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { HistoryRecorder, readHistory, readLog } from './build-history.ts';

async function openHome(): Promise<AsyncDisposable & { readonly home: AbsPath }> {
  const home = (await mkdtemp(path.join(tmpdir(), 'history-'))) as AbsPath;
  return { home, [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }) };
}

/** One task with a line of output. */
function runTask(recorder: HistoryRecorder): void {
  const emit = recorder.watch(() => {});
  const task = { id: '1', group: 'app', kind: 'run', label: 'run' } as const;
  emit({ type: 'task-output', id: '1', group: 'app', stream: 'stdout', lines: ['one'], at: 0 });
  emit({ type: 'task-finished', ...task, outcome: 'done', durationMs: 5, at: 5 });
}

it('remembers what a task wrote', async () => {
  await using place = await openHome();
  const recorder = await HistoryRecorder.open(place.home);
  runTask(recorder);
  await recorder.close();
  const [entry] = await readHistory(place.home);
  expect(String(await readLog(place.home, entry!, entry!.tasks[0]!))).toBe('one\n');
});

it('leaves nothing of a build that did nothing', async () => {
  await using place = await openHome();
  await (await HistoryRecorder.open(place.home)).close();
  expect(await readdir(place.home)).toEqual([]);
});

it('does not keep a build that cannot write its log, nor wait for it', async () => {
  await using place = await openHome();
  const recorder = await HistoryRecorder.open(place.home);
  const [id = ''] = await readdir(place.home);
  await mkdir(path.join(place.home, id, '1.log'));
  runTask(recorder);
  // The file's error comes before the end of the build.
  for (let turn = 0; turn < 20; turn++) await stat(place.home);
  await recorder.close();
  expect(await readHistory(place.home)).toHaveLength(1);
});

it('does not fail a build whose record cannot be written', async () => {
  await using place = await openHome();
  const recorder = await HistoryRecorder.open(place.home);
  runTask(recorder);
  await rm(place.home, { recursive: true });
  await recorder.close();
  expect(await readHistory(place.home)).toEqual([]);
});
