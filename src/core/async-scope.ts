/**
 * Owns resources and gives them back in the reverse order of acquisition, every one of them even if some fail.
 * Dispose is idempotent; the first failure is thrown after all were tried.
 */
export class AsyncScope implements AsyncDisposable {
  readonly #disposers: (() => PromiseLike<void> | void)[] = [];

  /** Registers a clean-up to be run at the end of the scope. */
  defer(dispose: () => PromiseLike<void> | void): void {
    this.#disposers.push(dispose);
  }

  /** Takes ownership of a resource and returns it. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    let failure: { error: unknown } | undefined;
    for (let dispose = this.#disposers.pop(); dispose; dispose = this.#disposers.pop()) {
      try {
        await dispose();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure) throw failure.error;
  }
}
