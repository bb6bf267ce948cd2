import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { mkdir, rm } from '../host/files.ts';
import type { LazyCounters } from '../lazy/lazy-counters.ts';
import { metricsText } from '../lazy/metrics-text.ts';

const EVERY_MS = 5000;

/**
 * Keeps a file of a process's counters for Prometheus, `metrics/PID.prom` of a cache, until disposed. What cannot be written
 * is left out; the process is not kept alive.
 */
export function keepMetricsFile(cache: AbsPath, counters: LazyCounters): AsyncDisposable {
  const directory = joinInside(cache, 'metrics');
  const file = joinInside(directory, `${process.pid}.prom`);
  let written = '';
  let writing = Promise.resolve();
  const write = async () => {
    const text = metricsText(counters);
    if (text === written) return;
    written = text;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFileAtomic(file, text, { mode: 0o600 });
  };
  const timer = setInterval(() => {
    writing = writing.then(write).catch(() => {});
  }, EVERY_MS).unref();
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await writing;
      await rm(file, { force: true }).catch(() => {});
    },
  };
}
