import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { StkError, errnoOf, interrupted, throwIfAborted } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { open, readFile, stat } from '../files.ts';
import { systemCommand } from '../raw-command.ts';
import { toolEnvironment } from '../tool-path.ts';
import { keepInheritedFiles } from '../inherited-files.ts';

/** Descriptors of the server: its settings come on 0, its messages go to the log on 1 and 2, what it says first to 3. */
export const READY_DESCRIPTOR = 3;
/** Where the server finds the device that is mounted. */
export const DEVICE_DESCRIPTOR = 4;

const MAX_READY_BYTES = 64 * 1024;
const LOG_TAIL_BYTES = 4096;

export interface ServerProcess {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** Inherited as `DEVICE_DESCRIPTOR`; it stays the caller's. */
  readonly device: number;
  /** Written to its standard input, then closed. */
  readonly input: string;
  /** Receives stdout and stderr, appended. */
  readonly logFile: AbsPath;
  /** Threads of libuv's pool: every pending read of /dev/fuse holds one. */
  readonly threads: number;
  /** When the wait for the first line ends and the process is killed. */
  readonly readyTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface StartedServer {
  readonly pid: number;
  /** The first line that the server wrote to `READY_DESCRIPTOR`. */
  readonly firstLine: string;
}

/**
 * Starts a process of its own session (setsid) that outlives this one, and waits for its first line. Throws
 * `tool-failed` with the end of the log where it ends before, or is not ready in time; then it is dead.
 */
export async function spawnServer(server: ServerProcess): Promise<StartedServer> {
  throwIfAborted(server.signal);
  const log = await open(server.logFile, 'a', 0o600);
  try {
    const { size } = await log.stat();
    const [file = '', ...args] = server.command;
    const env = toolEnvironment({ UV_THREADPOOL_SIZE: String(server.threads) });
    const command = systemCommand({ file, args, env });
    keepInheritedFiles();
    const child = spawn(command.file, command.args, {
      cwd: '/',
      detached: true,
      stdio: ['pipe', log.fd, log.fd, 'pipe', server.device],
      env: command.env,
    });
    const failed = new Promise<never>((_, reject) => {
      child.on('error', cause => reject(new StkError('missing-capability', `cannot start ${file}`, { cause })));
    });
    failed.catch(() => {});
    child.stdin?.on('error', () => {});
    child.stdin?.end(server.input);
    const ready = child.stdio[READY_DESCRIPTOR] as Readable;
    try {
      const firstLine = await Promise.race([readLine(ready, server), failed]);
      if (firstLine === undefined) throw await endedEarly(server.logFile, size);
      child.unref();
      return { pid: child.pid ?? 0, firstLine };
    } catch (error) {
      killSession(child.pid);
      throw error;
    } finally {
      ready.destroy();
    }
  } finally {
    await log.close();
  }
}

/** The process leads a group of its own, which may have started others. */
function killSession(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

/** The first line of a pipe; `undefined` where it is closed before its end. */
async function readLine(pipe: Readable, server: ServerProcess): Promise<string | undefined> {
  const timeout = AbortSignal.timeout(server.readyTimeoutMs);
  const signal = server.signal ? AbortSignal.any([server.signal, timeout]) : timeout;
  const stop = () => pipe.destroy();
  signal.addEventListener('abort', stop, { once: true });
  let text = '';
  try {
    for await (const chunk of pipe as AsyncIterable<Buffer>) {
      text += chunk.toString();
      const end = text.indexOf('\n');
      if (end >= 0) return text.slice(0, end);
      if (text.length > MAX_READY_BYTES) break;
    }
  } catch (error) {
    if (errnoOf(error) !== 'ERR_STREAM_PREMATURE_CLOSE' && !signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  if (server.signal?.aborted) throw interrupted(server.signal);
  if (timeout.aborted) throw new StkError('tool-failed', `the server was not ready after ${server.readyTimeoutMs} ms`);
  return undefined;
}

async function endedEarly(logFile: AbsPath, from: number): Promise<StkError> {
  const { size } = await stat(logFile);
  const start = Math.max(from, size - LOG_TAIL_BYTES);
  const text = size > start ? (await readFile(logFile)).subarray(start).toString().trim() : '';
  return new StkError('tool-failed', `the server ended before it was ready${text === '' ? '' : `: ${text}`}`, {
    hint: `its log is ${logFile}`,
    facts: { path: logFile },
  });
}
