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

  async flush(): Promise<void> {
    const block = this.#pending.join('');
    this.#pending = [];
    if (block === '' || this.#stream.write(block)) return;
    await new Promise<void>(resolve => this.#stream.once('drain', () => resolve()));
  }
}
