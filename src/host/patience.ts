import { formatDuration } from '../core/bytes.ts';
import { StkError } from '../core/errors.ts';
import { backoffMs, type Delay, type RetryPolicy } from './http-retry.ts';

/** A transfer that brought at least this much since it last failed gets all of its patience anew. */
const PROGRESS_BYTES = 256 * 1024;

/** Clocks, chance, and who is told that nothing comes. */
export interface PatienceClock {
  readonly retry: RetryPolicy;
  readonly now: () => number;
  readonly random: () => number;
  readonly delay: Delay;
  /** Silence after which somebody is told, for the first time; from then on each time that it has doubled. */
  readonly quietMs: number;
  readonly onQuiet: (text: string) => void;
}

/**
 * How long one transfer goes on although it gets nowhere: silence and pauses between tries are counted, over all of its
 * requests, until bytes move again. While somebody else has to act, such as the reader of a body, nothing is counted.
 */
export class Patience {
  readonly #clock: PatienceClock;
  readonly #what: string;
  readonly #budgetMs: number;
  #spentMs = 0;
  #failures = 0;
  #movedBytes = 0;
  #isWaiting = true;
  /** Since when nothing has come, and since when of that is not in `#spentMs`. */
  #quietSinceMs: number;
  #countedMs: number;
  #nextNoticeMs: number;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;

  /** @param what is done, and where, for messages: `sending blob sha256:… to HOST/REPOSITORY` */
  constructor(clock: PatienceClock, what: string, budgetMs: number) {
    this.#clock = clock;
    this.#what = what;
    this.#budgetMs = budgetMs;
    this.#quietSinceMs = this.#countedMs = clock.now();
    this.#nextNoticeMs = clock.quietMs;
    this.#watch();
  }

  /** What one more try may wait for an answer. */
  get leftMs(): number {
    return Math.max(0, this.#budgetMs - this.#spentMs);
  }

  /** A byte came or went, or an answer that is one. */
  heard(): void {
    this.#quietSinceMs = this.#countedMs = this.#clock.now();
    this.#nextNoticeMs = this.#clock.quietMs;
    this.#isWaiting = true;
    this.#watch();
  }

  /** Bytes arrived that need not be asked for again. */
  moved(bytes: number): void {
    this.heard();
    this.#movedBytes += bytes;
    if (this.#movedBytes >= PROGRESS_BYTES) this.renew();
  }

  /** The transfer got somewhere. */
  renew(): void {
    this.#spentMs = this.#failures = this.#movedBytes = 0;
    this.#problem = undefined;
    this.heard();
  }

  /** It is not the server that is waited for, until something is heard. */
  hold(): void {
    this.#isWaiting = false;
  }

  /**
   * A try has failed: the pause before the next one, in milliseconds, or `undefined` where patience is at an end.
   * @param problem said to whoever waits
   * @param limits `askedMs` is a pause that the server wants; `withinMs` makes patience shorter for this kind of failure
   */
  next(problem: string, limits: { readonly askedMs?: number | undefined; readonly withinMs?: number } = {}) {
    const { askedMs, withinMs = Number.POSITIVE_INFINITY } = limits;
    const { retry, now, random } = this.#clock;
    if (this.#isWaiting) this.#spentMs += Math.max(0, now() - this.#countedMs);
    this.#isWaiting = true;
    this.#countedMs = now();
    this.#movedBytes = 0;
    this.#problem = problem;
    this.#failures++;
    const leftMs = Math.min(this.#budgetMs, withinMs) - this.#spentMs;
    if (leftMs <= 0 || (askedMs ?? 0) > leftMs) return undefined;
    const pauseMs = askedMs ?? Math.min(leftMs, backoffMs(retry, this.#failures, random()));
    this.#spentMs += pauseMs;
    return pauseMs;
  }

  async pause(pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#watch();
    await this.#clock.delay(pauseMs, signal);
    this.#countedMs = this.#clock.now();
  }

  /** `next` and `pause` in one; `false` where patience is at an end. */
  async again(problem: string, signal: AbortSignal | undefined): Promise<boolean> {
    const pauseMs = this.next(problem);
    if (pauseMs !== undefined) await this.pause(pauseMs, signal);
    return pauseMs !== undefined;
  }

  /** What ended the last try, with how long it was tried; not transient any more. */
  over(error: StkError): StkError {
    if (error.facts['gaveUp'] === true) return error;
    const tried = this.#failures > 1 ? `; ${this.#failures} tries in ${formatDuration(this.#spentMs)}` : '';
    return new StkError(error.code, `${error.message}${tried}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      facts: { ...error.facts, gaveUp: true },
    });
  }

  #watch(): void {
    if (this.#timer === undefined) this.#timer = this.#wake(this.#nextNoticeMs);
  }

  #wake(afterMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined;
      if (!this.#isWaiting) return;
      const quietMs = this.#clock.now() - this.#quietSinceMs;
      if (quietMs >= this.#nextNoticeMs) {
        const why = this.#problem === undefined ? '' : ` (${this.#problem})`;
        const most = formatDuration(this.#budgetMs);
        this.#clock.onQuiet(`${this.#what}: nothing for ${formatDuration(quietMs)}${why}; given up after ${most}`);
        this.#nextNoticeMs *= 2;
      }
      this.#timer = this.#wake(Math.max(1, this.#nextNoticeMs - quietMs));
    }, afterMs).unref();
  }
}
