import { throwIfAborted } from './errors.ts';
import { unlessAborted } from './unless-aborted.ts';

/** Shares one running promise per key; the result is forgotten once settled. */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();

  run(key: K, work: () => Promise<V>): Promise<V> {
    const running = this.#flights.get(key);
    if (running) return running;
    const flight = work().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  /**
   * As `run`, for work that may fail for reasons of whoever began it: their signal, their credentials. Who joined then
   * does the work in turn, and leaves with `interrupted` as soon as its own signal fires.
   */
  async share(key: K, work: () => Promise<V>, signal?: AbortSignal): Promise<V> {
    for (;;) {
      throwIfAborted(signal);
      let isOwn = false;
      const flight = this.run(key, () => {
        isOwn = true;
        return work();
      });
      // Work that listens to the signal itself is awaited until it has cleaned up.
      if (isOwn) return flight;
      try {
        return await unlessAborted(flight, signal);
      } catch (error) {
        if (signal?.aborted) throw error;
      }
    }
  }
}
