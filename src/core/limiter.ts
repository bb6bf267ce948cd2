import { setMaxListeners } from 'node:events';
import { interrupted, throwIfAborted } from './errors.ts';

/** The place of a running piece of work. */
export interface Slot {
  /**
   * Leaves the place to others while `wait` runs, so that what is waited for may need one itself. Not for two waits at
   * once. After a failure the place is not taken again.
   */
  lend<T>(wait: () => Promise<T>): Promise<T>;
}

/** First-in-first-out limit on how many pieces of work use one resource at a time. */
export class Limiter {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param limit how many may run at once, at least 1 */
  constructor(limit: number) {
    this.#limit = Math.max(1, limit);
  }

  async run<T>(work: (slot: Slot) => Promise<T>, signal?: AbortSignal): Promise<T> {
    let held = false;
    const take = async () => {
      throwIfAborted(signal);
      if (this.#running >= this.#limit) await this.#wait(signal);
      else this.#running++;
      held = true;
    };
    const give = () => {
      if (!held) return;
      held = false;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    };
    await take();
    try {
      return await work({
        async lend(wait) {
          give();
          const result = await wait();
          await take();
          return result;
        },
      });
    } finally {
      give();
    }
  }

  /** Resolves holding a slot that the finishing work handed over. */
  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        const at = this.#waiting.indexOf(enter);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(interrupted(signal!));
      };
      this.#waiting.push(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}

/**
 * Runs work over items, at most `limit` at once, results in order. On the first failure the siblings' signal fires, they
 * are awaited, then the failure is thrown.
 */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, signal: AbortSignal, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const controller = new AbortController();
  const inner = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal;
  // Much of what one item starts listens; Node takes more than ten listeners for a leak.
  setMaxListeners(0, inner);
  let failure: { error: unknown } | undefined;
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length && !failure) {
      const index = next++;
      try {
        throwIfAborted(inner);
        results[index] = await work(items[index]!, inner, index);
      } catch (error) {
        failure ??= { error };
        controller.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(Math.max(1, limit), items.length) }, worker));
  if (failure) throw failure.error;
  return results;
}
