import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';

/** The program in the campaign's directory. */
export class Stk {
  readonly home: string;
  readonly signal: AbortSignal;
  readonly #program: string;

  constructor(home: string, program: string, signal: AbortSignal) {
    this.home = home;
    this.signal = signal;
    this.#program = program;
  }

  async run(...args: readonly string[]): Promise<{ readonly exitCode: number | undefined; readonly output: string }> {
    const { exitCode, all } = await execa(process.execPath, [this.#program, ...args], {
      cwd: this.home,
      all: true,
      reject: false,
      stdin: 'ignore',
      cancelSignal: this.signal,
      forceKillAfterDelay: 60_000,
      maxBuffer: 1 << 28,
    });
    this.signal.throwIfAborted();
    return { exitCode, output: all };
  }

  async write(file: string, content: object | string): Promise<string> {
    await writeFile(
      path.join(this.home, file),
      typeof content === 'string' ? content : JSON.stringify(content, null, 2),
    );
    return file;
  }
}
