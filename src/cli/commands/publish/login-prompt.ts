import { StkError, interrupted } from '../../../core/errors.ts';

/** A terminal, or what stands for one. */
export interface PromptInput extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

export interface PromptOptions {
  readonly input: PromptInput;
  readonly output: NodeJS.WritableStream;
  readonly question: string;
  /** Whether what is typed is kept off the screen. */
  readonly hidden: boolean;
  readonly signal: AbortSignal;
}

const MAX_LINE_LENGTH = 64 * 1024;

/** Asks for a line on a terminal. Throws `usage` where there is none, `interrupted` on Ctrl-C, Ctrl-D or an abort. */
export async function promptLine(options: PromptOptions): Promise<string> {
  const { input, output, question, hidden, signal } = options;
  if (input.isTTY !== true || !input.setRawMode) {
    throw new StkError('usage', `no terminal to ask for the ${question.toLowerCase()}`, {
      hint: 'give it with a flag, a variable or on standard input: see --help',
    });
  }
  output.write(`${question}: `);
  input.setRawMode(true);
  try {
    return await typedLine(input, hidden ? undefined : output, signal);
  } finally {
    input.setRawMode(false);
    input.pause();
    output.write('\n');
  }
}

/** In raw mode the terminal does nothing by itself: erasing and ending are up to us. */
function typedLine(input: PromptInput, echo: NodeJS.WritableStream | undefined, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let line: string[] = [];
    const end = (settle: () => void) => {
      input.removeListener('data', onData);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () => end(() => reject(interrupted(signal)));
    const onData = (chunk: Buffer | string) => {
      for (const char of chunk.toString()) {
        if (char === '\r' || char === '\n') return end(() => resolve(line.join('')));
        if (char === '\u0003' || char === '\u0004') {
          return end(() => reject(new StkError('interrupted', 'nothing was entered')));
        }
        if (char === '\u007f' || char === '\b') {
          if (line.pop() !== undefined) echo?.write('\b \b');
        } else if (char === '\u0015') line = [];
        else if (char >= ' ' && line.length < MAX_LINE_LENGTH) {
          line.push(char);
          echo?.write(char);
        }
      }
    };
    input.on('data', onData);
    input.resume();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** All of standard input without its last line end: a password that is piped in. */
export async function readPiped(input: AsyncIterable<Uint8Array | string>): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of input) {
    chunks.push(Buffer.from(chunk));
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_LINE_LENGTH) throw new StkError('usage', 'the password on standard input is too long');
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}
