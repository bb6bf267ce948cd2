import type { Writable } from 'node:stream';
import type { RunningTool } from '../host/exec.ts';

/** Pieces are gathered to this many bytes before they are handed to the kernel together. */
const BATCH_BYTES = 256 * 1024;

/** Feeds a tool's stdin with pieces that are not copied, at the pace the tool reads. */
export class ToolInput {
  readonly #tool: RunningTool;
  readonly #stdin: Writable;
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;

  constructor(tool: RunningTool) {
    this.#tool = tool;
    this.#stdin = tool.stdin;
    // A tool that ends early breaks the pipe; why it ended is what `done` says.
    this.#stdin.on('error', () => {});
    tool.done.catch(() => {});
  }

  /** Takes a piece, which must not change afterwards; returns whether it is time to `flush`. */
  push(piece: Uint8Array): boolean {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.byteLength;
    return this.#pieceBytes >= BATCH_BYTES;
  }

  /** Writes what was pushed. Throws the tool's own failure if it has ended. */
  async flush(): Promise<void> {
    const stdin = this.#stdin;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#pieceBytes = 0;
    if (stdin.destroyed) await this.#failed();
    stdin.cork();
    for (const piece of pieces) stdin.write(piece);
    stdin.uncork();
    if (!stdin.writableNeedDrain) return;
    await new Promise<void>(resolve => {
      const settle = () => {
        stdin.off('drain', settle).off('close', settle);
        resolve();
      };
      stdin.on('drain', settle).on('close', settle);
    });
    if (stdin.destroyed) await this.#failed();
  }

  /** Writes the rest, closes stdin and waits until the tool has succeeded. */
  async finish(): Promise<void> {
    await this.flush();
    this.#stdin.end();
    await this.#tool.done;
  }

  /** Ends the tool without a result. */
  async abandon(): Promise<void> {
    this.#pieces = [];
    this.#tool.kill('SIGKILL');
    this.#stdin.destroy();
    await this.#tool.done.catch(() => {});
  }

  async #failed(): Promise<never> {
    await this.#tool.done;
    throw new Error('a tool stopped reading its input although it succeeded');
  }
}
