import type { Writable } from 'node:stream';

/** Lines kept for later while the stream is held, and bytes that may wait inside the stream. */
const MAX_HELD_LINES = 10_000;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;

/**
 * Writes whole lines to a stream that stays the caller's, those of one turn of the event loop at once. A reader that is
 * too slow, or a held stream, costs lines and never memory; a note says how many. A broken stream is written to no more.
 */
export class LineWriter {
  readonly #stream: Writable;
  readonly #onError: (error: Error) => void;
  #lines: string[] = [];
  #leftOut = 0;
  #scheduled = false;
  #held = false;
  #broken = false;

  /** @param onBroken called once, when the stream fails */
  constructor(stream: Writable, onBroken: (error: Error) => void = () => {}) {
    this.#stream = stream;
    this.#onError = error => {
      if (this.#broken) return;
      this.#broken = true;
      this.#lines = [];
      onBroken(error);
    };
    stream.on('error', this.#onError);
  }

  write(lines: readonly string[]): void {
    if (this.#broken || lines.length === 0) return;
    for (const line of lines) this.#lines.push(line);
    if (this.#held) this.#dropOldest();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => this.flush());
    }
  }

  /** Hands everything to the stream. */
  flush(): void {
    this.#scheduled = false;
    if (this.#held || this.#broken || this.#lines.length === 0) return;
    if (this.#stream.writableLength > MAX_WAITING_BYTES) {
      this.#leftOut += this.#lines.length;
      this.#lines = [];
      return;
    }
    const note = this.#leftOut > 0 ? [`… ${this.#leftOut} lines left out`] : [];
    this.#stream.write(`${[...note, ...this.#lines].join('\n')}\n`);
    this.#lines = [];
    this.#leftOut = 0;
  }

  /** Keeps lines back until `release`. */
  hold(): void {
    this.flush();
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.flush();
  }

  /** Resolves when the stream has taken everything, or broke. The writer must not be used afterwards. */
  async close(): Promise<void> {
    this.release();
    if (!this.#broken) {
      await new Promise<void>(resolve => {
        this.#stream.once('close', resolve);
        this.#stream.write('', () => {
          this.#stream.off('close', resolve);
          resolve();
        });
      });
    }
    this.#stream.off('error', this.#onError);
  }

  #dropOldest(): void {
    if (this.#lines.length <= 2 * MAX_HELD_LINES) return;
    this.#leftOut += this.#lines.length - MAX_HELD_LINES;
    this.#lines = this.#lines.slice(-MAX_HELD_LINES);
  }
}
