import { isStkError, type StkError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { DEFAULT_RETRY, backoffMs, systemDelay, type Delay } from '../host/http-retry.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LazyCounters } from './lazy-counters.ts';
import type { RangeSource } from './range-reader.ts';
import type { Priority, RequestQueue } from './request-queue.ts';

const PAUSES = { firstDelayMs: 250, maxDelayMs: 15_000 } as const;

export interface PatientSourceOptions {
  /** Opens the store anew: with credentials, mirrors and certificates as they are now. */
  readonly open: () => Promise<RangeSource>;
  /** Shared by everything that asks the same registry. */
  readonly queue: RequestQueue;
  /** How long a range is asked for again and again; 0 for once. */
  readonly patienceMs: number;
  readonly counters: LazyCounters;
  /** Hears of each failure that is not the last. */
  readonly onRetry?: (error: StkError) => void;
  readonly delay?: Delay;
  readonly now?: () => number;
  readonly random?: () => number;
}

export interface FetchOptions {
  readonly priority: Priority;
  /** Throws where bytes are wrong; another mirror is asked then, if there is one. */
  readonly check?: (bytes: Buffer) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Where ranges of a blob come from. */
export interface FetchSource {
  fetch(descriptor: Descriptor, offset: number, length: number, options: FetchOptions): Promise<Buffer>;
}

/**
 * Ranges of a registry's blobs, asked for until they come: while the registry cannot be reached or is not itself, and with
 * a new login where the old one is refused. Wrong bytes, and what will not change by waiting, are thrown at once. **Not
 * verified** beyond `check`.
 */
export class PatientSource implements FetchSource {
  readonly #options: PatientSourceOptions;
  readonly #opening = new SingleFlight<'store', RangeSource>();
  #store: RangeSource | undefined;

  constructor(options: PatientSourceOptions) {
    this.#options = options;
  }

  async fetch(descriptor: Descriptor, offset: number, length: number, options: FetchOptions): Promise<Buffer> {
    const { queue, patienceMs, counters, delay = systemDelay, now = Date.now, random = Math.random } = this.#options;
    const { priority, signal } = options;
    const deadline = now() + patienceMs;
    for (let failures = 1; ; failures++) {
      try {
        return await queue.run(priority, () => this.#ask(descriptor, offset, length, options), signal);
      } catch (error) {
        if (!isStkError(error, 'network', 'registry', 'unauthorized') || now() >= deadline) throw error;
        counters.retries++;
        this.#options.onRetry?.(error);
        // Whatever is known of the registry may have changed: a login, a mirror, an address.
        this.#store = undefined;
        const pauseMs = backoffMs({ ...DEFAULT_RETRY, ...PAUSES }, failures, random());
        await delay(Math.min(pauseMs, Math.max(0, deadline - now())), signal);
      }
    }
  }

  async #ask(descriptor: Descriptor, offset: number, length: number, { check, signal }: FetchOptions): Promise<Buffer> {
    const { counters, now = Date.now } = this.#options;
    const store = await this.#open();
    const begun = now();
    counters.requests++;
    const bytes = await store.readBlobRange(descriptor, offset, length, {
      ...(signal && { signal }),
      ...(check && { check }),
    });
    counters.fetchedBytes += length;
    counters.fetchMs += now() - begun;
    check?.(bytes);
    return bytes;
  }

  async #open(): Promise<RangeSource> {
    this.#store ??= await this.#opening.run('store', this.#options.open);
    return this.#store;
  }
}
