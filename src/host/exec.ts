import type { Readable, Writable } from 'node:stream';
import type { Options } from 'execa';
import { StkError, errnoOf, interrupted, throwIfAborted } from '../core/errors.ts';
import { hostBytes } from '../core/host-text.ts';
import { missingTool } from './find-tool.ts';
import { NO_SUCH_PROGRAM, systemCommand } from './raw-command.ts';
import { toolEnvironment } from './tool-path.ts';
import { keepInheritedFiles } from './inherited-files.ts';

/** Output kept of a tool for its caller, per stream, in bytes; what goes beyond is cut from the front of stderr. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const STDERR_TAIL_LINES = 12;

export interface ToolOptions {
  readonly cwd?: string;
  /** Added to the fixed tool environment; nothing of the caller's environment passes. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** File descriptors that the tool inherits as 3, 4, …; they stay the caller's. */
  readonly inheritFds?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Exit statuses that are answers and no failures; default only 0. */
  readonly okExitCodes?: readonly number[];
  /** Receives whole lines of stderr as they come. */
  readonly onStderr?: (line: string) => void;
}

export interface ToolResult {
  readonly stdout: Buffer;
  readonly exitCode: number;
}

/**
 * Runs a tool to its end. Throws `missing-capability` where it is not installed, `interrupted` when the signal fired,
 * `storage` where it ran out of space, otherwise `tool-failed` with argv, status and the last lines of stderr.
 */
export async function runTool(file: string, args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  const tool = await startTool(file, args, { ...options, stdout: 'buffer' });
  return tool.done;
}

export interface StartOptions extends ToolOptions {
  /** The command that errors name, where `file` is only what prepares its start. */
  readonly shownAs?: readonly [string, ...string[]];
  /** `pipe` gives a writable; a number is a descriptor to inherit. Ignored where `input` is given. */
  readonly stdin?: 'ignore' | 'pipe' | 'inherit' | number;
  /** `pipe` gives a readable that the caller must drain; `buffer` collects. */
  readonly stdout?: 'ignore' | 'pipe' | 'buffer' | 'inherit' | number;
  readonly stderr?: 'collect' | 'inherit';
  /** Receives whole lines of a piped stdout as they come, from the first one on; the stream is not the caller's then. */
  readonly onStdout?: (line: string) => void;
}

/** A running tool. The caller must await `done`, which never leaves the process running after the signal fired. */
export interface RunningTool {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly done: Promise<ToolResult>;
  /** Ends the tool; what is unread of a piped stdout is thrown away. */
  kill(signal: 'SIGTERM' | 'SIGKILL'): void;
}

export async function startTool(
  file: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<RunningTool> {
  throwIfAborted(options.signal);
  const { execa } = await import('execa');
  const command = systemCommand({ file, args, cwd: options.cwd, env: toolEnvironment(options.env) });
  const settings: Options = {
    // By its link, whatever bytes are in its name.
    cwd: command.cwd ?? '/proc/self/cwd',
    env: command.env,
    extendEnv: false,
    // Descriptors beyond execa's own type: plain numbers, which it hands to the system as they are.
    stdio: [
      options.input === undefined ? (options.stdin ?? 'ignore') : 'pipe',
      options.stdout === 'buffer' ? 'pipe' : (options.stdout ?? 'ignore'),
      options.stderr === 'inherit' ? 'inherit' : 'pipe',
      ...(options.inheritFds ?? []),
    ] as NonNullable<Options['stdio']>,
    ...(options.input === undefined ? {} : { input: inputBytes(options.input) }),
    buffer: { stdout: options.stdout === 'buffer', stderr: false },
    maxBuffer: MAX_OUTPUT_BYTES,
    encoding: 'buffer',
    reject: false,
    stripFinalNewline: false,
    ...(options.signal ? { cancelSignal: options.signal } : {}),
    forceKillAfterDelay: 3000,
  };
  keepInheritedFiles();
  const child = execa(command.file, command.args, settings);
  const tail = new LineTail(STDERR_TAIL_LINES, options.onStderr);
  const { stderr } = child;
  stderr?.on('data', (chunk: Buffer) => tail.push(chunk));
  stderr?.on('error', () => {});
  // Attached at once: execa lets a stream flow, and its data go, if nobody reads it soon.
  const lines = options.onStdout && new LineTail(0, options.onStdout);
  if (lines) child.stdout?.on('data', (chunk: Buffer) => lines.push(chunk)).on('error', () => {});
  const drop = () => {
    if (options.stdout === 'pipe' && child.stdout) dropUnread(child.stdout);
  };
  // It may have fired while the module was loaded.
  if (options.signal?.aborted) drop();
  else options.signal?.addEventListener('abort', drop, { once: true });
  const finish = async (): Promise<ToolResult> => {
    const result = await child;
    options.signal?.removeEventListener('abort', drop);
    tail.end();
    lines?.end();
    if (options.signal?.aborted) throw interrupted(options.signal);
    const { exitCode } = result;
    if (exitCode === undefined || !(options.okExitCodes ?? [0]).includes(exitCode)) {
      if (exitCode === NO_SUCH_PROGRAM && command.file !== file) throw missingTool(file);
      const [shown, ...words] = options.shownAs ?? [file, ...args];
      throw toolFailure(shown, words, result, tail.lines);
    }
    return { stdout: Buffer.from((result.stdout as Uint8Array | undefined) ?? []), exitCode };
  };
  const done = finish();
  // It may fail before its caller has come to waiting for it.
  done.catch(() => {});
  return {
    pid: child.pid ?? 0,
    stdin: child.stdin as unknown as Writable,
    stdout: child.stdout as unknown as Readable,
    kill: signal => {
      child.kill(signal);
      drop();
    },
    done,
  };
}

/** Text in the form of `hostText` as bytes. */
function inputBytes(input: string | Uint8Array): Uint8Array {
  return typeof input === 'string' ? hostBytes(input) : input;
}

/**
 * Throws away what is unread of a stream, now and later, and lets it come to its end: what nobody reads keeps a tool's end
 * waiting. Somebody who waits for data sees the end.
 */
function dropUnread(stream: Readable): void {
  stream.removeAllListeners('readable');
  stream.resume();
}

interface Outcome {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly code?: string | undefined;
  readonly cause?: unknown;
}

function toolFailure(file: string, args: readonly string[], outcome: Outcome, stderr: readonly string[]): StkError {
  const errno = outcome.code ?? errnoOf(outcome.cause);
  if (errno === 'ENOENT' && outcome.exitCode === undefined) return missingTool(file, outcome.cause);
  const text = stderr.join('\n');
  const how =
    outcome.signal === undefined ? `exited with status ${outcome.exitCode ?? errno}` : `was ended by ${outcome.signal}`;
  const full = errno === 'ENOSPC' || /no space left on device|disk quota exceeded/i.test(text);
  return new StkError(full ? 'storage' : 'tool-failed', `${file} ${how}${text === '' ? '' : `: ${text}`}`, {
    ...(full ? { hint: 'free some disk space and try again; nothing was lost' } : {}),
    facts: {
      command: [file, ...args],
      ...(outcome.exitCode === undefined ? {} : { exitCode: outcome.exitCode }),
      ...(outcome.signal === undefined ? {} : { signal: outcome.signal }),
    },
  });
}

const MAX_LINE = 4096;

/** Splits a byte stream into lines and keeps the last few. A line without an end is cut at 4096 characters. */
class LineTail {
  readonly lines: string[] = [];
  readonly #keep: number;
  readonly #onLine: ((line: string) => void) | undefined;
  #rest = '';

  constructor(keep: number, onLine?: (line: string) => void) {
    this.#keep = keep;
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const parts = (this.#rest + chunk.toString('utf8')).split('\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > MAX_LINE) {
      parts.push(this.#rest.slice(0, MAX_LINE));
      this.#rest = '';
    }
    for (const line of parts) this.#add(line);
  }

  end(): void {
    if (this.#rest !== '') this.#add(this.#rest);
    this.#rest = '';
  }

  #add(line: string): void {
    this.#onLine?.(line);
    if (line.trim() === '') return;
    this.lines.push(line);
    if (this.lines.length > this.#keep) this.lines.shift();
  }
}
