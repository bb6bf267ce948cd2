/** What was found out once, by key; who asks while it is being found out waits for the same answer. Failures are forgotten. */
export class Remembered<K, V> {
  readonly #answers = new Map<K, Promise<V>>();

  /** Keys that were asked for, and did not fail. */
  get size(): number {
    return this.#answers.size;
  }

  get(key: K, find: () => Promise<V>): Promise<V> {
    const known = this.#answers.get(key);
    if (known) return known;
    const finding = find();
    this.#answers.set(key, finding);
    finding.catch(() => this.#answers.delete(key));
    return finding;
  }

  /** Waits until nothing is being found out. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#answers.values());
  }
}
