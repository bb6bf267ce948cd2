import { interrupted, throwIfAborted } from './errors.ts';

/** The work's result, or `interrupted` as soon as the signal fires; the work itself goes on. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  // It may fail after nobody waits for it any more.
  work.catch(() => {});
  throwIfAborted(signal);
  let leave = () => {};
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(interrupted(signal));
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}
