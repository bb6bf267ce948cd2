interface Entry<V> {
  readonly value: V;
  readonly weight: number;
  used: boolean;
}

/**
 * Keeps the entries used lately, up to a total weight. An entry read since it was last considered gets a second chance
 * before it is dropped, which makes reading as cheap as a map's.
 */
export class LruCache<K, V> {
  readonly #entries = new Map<K, Entry<V>>();
  readonly #maxWeight: number;
  #weight = 0;

  /** @param maxWeight sum of weights that is kept; a single heavier entry is not kept at all */
  constructor(maxWeight: number) {
    this.#maxWeight = maxWeight;
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  set(key: K, value: V, weight = 1): void {
    this.delete(key);
    if (weight > this.#maxWeight) return;
    this.#entries.set(key, { value, weight, used: false });
    this.#weight += weight;
    for (const [oldest, entry] of this.#entries) {
      if (this.#weight <= this.#maxWeight) break;
      this.delete(oldest);
      if (!entry.used) continue;
      this.#entries.set(oldest, { ...entry, used: false });
      this.#weight += entry.weight;
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
  }
}
