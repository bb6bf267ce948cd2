import { interrupted, throwIfAborted } from '../core/errors.ts';

/** What is waited for now, what a start will read soon, and the rest of a blob; earlier ones go first. */
export const PRIORITIES = ['demand', 'prefetch', 'background'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Of the places, those that only demand may take: the rest of a blob must not be in the way of a reader. */
const KEPT_FOR_DEMAND = 2;

/** Limits how many requests one registry gets at a time; who is waited for goes first. */
export class RequestQueue {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: Readonly<Record<Priority, (() => void)[]>> = { demand: [], prefetch: [], background: [] };

  /** @param limit requests at once, more than the places that are kept for demand */
  constructor(limit: number) {
    this.#limit = Math.max(KEPT_FOR_DEMAND + 1, limit);
  }

  async run<T>(priority: Priority, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    if (this.#hasPlace(priority)) this.#running++;
    else await this.#wait(priority, signal);
    try {
      return await work();
    } finally {
      this.#running--;
      this.#next();
    }
  }

  #hasPlace(priority: Priority): boolean {
    return this.#running < (priority === 'demand' ? this.#limit : this.#limit - KEPT_FOR_DEMAND);
  }

  #next(): void {
    for (const priority of PRIORITIES) {
      const [enter] = this.#waiting[priority];
      if (!enter || !this.#hasPlace(priority)) continue;
      this.#waiting[priority].shift();
      this.#running++;
      enter();
      return;
    }
  }

  /** Resolves holding a place. */
  #wait(priority: Priority, signal: AbortSignal | undefined): Promise<void> {
    const waiting = this.#waiting[priority];
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        const at = waiting.indexOf(enter);
        if (at >= 0) waiting.splice(at, 1);
        reject(interrupted(signal!));
      };
      waiting.push(enter);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}
