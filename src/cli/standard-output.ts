import { setImmediate as nextTurn } from 'node:timers/promises';
import { StkError } from '../core/errors.ts';

/**
 * What a stream that cannot be written means, in the codes of the kernel: a full disk or one that fails. A reader that went
 * away, as in `stk ls | head`, is none of these.
 */
export function outputError(cause: NodeJS.ErrnoException): StkError {
  const reasons: Readonly<Record<string, string>> = {
    ENOSPC: 'no space is left on the device',
    EDQUOT: 'the quota is used up',
    EFBIG: 'the file may not grow any more',
    EBADF: 'it is closed',
  };
  const reason = reasons[cause.code ?? ''] ?? cause.message;
  return new StkError('storage', `standard output cannot be written: ${reason}`, {
    cause,
    hint: 'what the command did is done; only its output is lost',
  });
}

/** Notes that a standard stream could not be written, instead of ending the process in the middle of its work. */
export class WatchedOutput {
  #error: NodeJS.ErrnoException | undefined;
  readonly #stream: NodeJS.WriteStream;

  /** @param onReaderGone called where nobody reads any more what is written */
  constructor(stream: NodeJS.WriteStream, onReaderGone: () => void) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') onReaderGone();
      this.#error ??= error;
    });
  }

  /** Waits until all is written: a pipe takes what fits into it at once, the rest when its reader has made room. */
  async end(): Promise<StkError | undefined> {
    if (this.#stream.writableLength > 0 && !this.#stream.errored) {
      await new Promise<void>(resolve => this.#stream.write('', () => resolve()));
    }
    // Errors are told a turn after the write.
    await nextTurn();
    return this.#error === undefined ? undefined : outputError(this.#error);
  }
}
