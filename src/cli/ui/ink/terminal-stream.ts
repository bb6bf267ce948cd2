import { Writable } from 'node:stream';
import { displayWidth } from '../display-width.ts';

/**
 * A terminal as Ink sees it. What is written while corked goes out in one piece, so that no half-drawn frame shows. It
 * claims no height: Ink would clear screen and scrollback where a frame exceeds it, and `liveLines` sees to the height.
 */
export class TerminalStream extends Writable {
  readonly isTTY = true;
  readonly #terminal: NodeJS.WriteStream;
  readonly #onResize = () => this.#resized();
  #frame: readonly string[] = [];

  constructor(terminal: NodeJS.WriteStream) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    terminal.on('resize', this.#onResize);
  }

  get columns(): number {
    return this.#terminal.columns || 80;
  }

  /** Tells what is on the screen now, without escapes, as long as nothing else is drawn. */
  drawn(frame: readonly string[]): void {
    this.#frame = frame;
  }

  override _writev(
    chunks: readonly { readonly chunk: string | Uint8Array }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#terminal.write(chunks.map(({ chunk }) => String(chunk)).join(''));
    done();
  }

  override _write(chunk: string | Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#terminal.write(chunk);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#terminal.off('resize', this.#onResize);
    done(error);
  }

  /** Lines that no longer fit were wrapped by the terminal: Ink erases as many as it wrote, so the others go here. */
  #resized(): void {
    const extra = this.#frame.reduce(
      (sum, line) => sum + Math.max(0, Math.ceil(displayWidth(line) / this.columns) - 1),
      0,
    );
    if (extra > 0) this.#terminal.write(`\u001b[${extra}A\u001b[J`);
    this.emit('resize');
  }
}
