import { outputError } from '../standard-output.ts';

/** Writes lines in large pieces and waits for a slow reader. */
export class OutputLines {
  readonly #stream: NodeJS.WriteStream;
  #pending: string[] = [];

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  async write(line: string): Promise<void> {
    if (this.#pending.push(`${line}\n`) >= 512) await this.flush();
  }

  /** Throws `storage` where nothing can be written any more. */
  async flush(): Promise<void> {
    const block = this.#pending.join('');
    this.#pending = [];
    if (block === '' || this.#stream.write(block)) return;
    await new Promise<void>(resolve => {
      const events = ['drain', 'error', 'close'];
      const done = () => {
        for (const event of events) this.#stream.off(event, done);
        resolve();
      };
      for (const event of events) this.#stream.on(event, done);
    });
    if (this.#stream.errored) throw outputError(this.#stream.errored);
  }
}
