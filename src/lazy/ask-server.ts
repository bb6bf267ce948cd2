import { setTimeout as sleep } from 'node:timers/promises';
import { StkError, interrupted, throwIfAborted } from '../core/errors.ts';
import { openLineConnection } from '../host/line-connection.ts';
import { sendMessage } from '../host/syscalls/descriptor-message.ts';
import { failedWith } from '../host/syscalls/failure.ts';
import type { ServeSpec } from './serve-spec.ts';
import { LENGTH_BYTES, refusedError, type ServerWord } from './server-words.ts';

export interface MountToServe {
  readonly spec: ServeSpec;
  /** It stays the caller's. */
  readonly device: number;
}

export interface Patience {
  /** How long a server that runs may take to say that it listens; one that was just started has all the time. */
  readonly silenceMs?: number | undefined;
  readonly readyTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Hands a mounted device to the server at the other end of a connection, which is closed then, and waits until files can be
 * read. `ended` where the server ended without having taken it, `silent` where it never said that it listens, and was given
 * nothing: another may be asked. Throws what the server met.
 */
export async function askServer(
  connection: number,
  { spec, device }: MountToServe,
  { silenceMs, readyTimeoutMs = 60_000, signal }: Patience,
): Promise<{ readonly pid: number; readonly keeper?: number } | 'ended' | 'silent'> {
  const text = Buffer.from(JSON.stringify(spec));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  const timeout = AbortSignal.timeout(readyTimeoutMs);
  using asking = openLineConnection(connection, signal ? AbortSignal.any([signal, timeout]) : timeout);
  throwIfAborted(signal);
  const lines = asking.lines();
  const assertInTime = () => {
    if (signal?.aborted) throw interrupted(signal);
    if (timeout.aborted) throw new StkError('tool-failed', `the server was not ready after ${readyTimeoutMs} ms`);
  };
  const greeting = await (silenceMs === undefined ? lines.next() : withinTime(lines.next(), silenceMs));
  assertInTime();
  if (greeting === undefined) return 'silent';
  if (greeting.done) return 'ended';
  try {
    sendMessage(connection, length, device);
  } catch (error) {
    if (failedWith(error, 'EPIPE', 'ECONNRESET')) return 'ended';
    throw error;
  }
  asking.write(text);
  let isTaken = false;
  for await (const line of lines) {
    const word = JSON.parse(line) as ServerWord;
    if ('listens' in word) continue;
    if ('taken' in word) isTaken = true;
    else if (word.ready) return word;
    else throw refusedError(word);
  }
  assertInTime();
  if (isTaken) throw new StkError('tool-failed', 'the server ended before files could be read');
  return 'ended';
}

/** `undefined` where the time is over before. */
async function withinTime<T>(work: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const timer = new AbortController();
  try {
    return await Promise.race([work, sleep(timeoutMs, undefined, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
