import type { Readable } from 'node:stream';
import { isStkError, messageOf, type ErrorCode, type ErrorFacts } from '../core/errors.ts';
import { closeSync, writeSync } from '../host/files.ts';
import type { OpenFar } from './open-served-blob.ts';
import { serve } from './serve.ts';
import { parseServeSpec, type ServeSpec } from './serve-spec.ts';

/** What a server says first, on one line: that it is ready, or why it is not. */
export type FirstWord =
  | { readonly ready: true; readonly pid: number }
  | {
      readonly ready: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint?: string;
      readonly facts?: ErrorFacts;
    };

/**
 * The whole life of a server process that `startServer` started: reads the specification from `input`, serves, and
 * returns when the mount is gone. One that takes over reads the same and tells nobody. Rejects with what was also told to the starter if it could not start. Where users of
 * the mount remain after the signal and cannot be cut off otherwise, it ends this process with SIGKILL.
 */
export async function runServer(input: Readable, signal: AbortSignal, openFar?: OpenFar): Promise<void> {
  const spec = parseServeSpec(await readAll(input));
  let told = false;
  const tell = (word: FirstWord): void => {
    if (!told) sayFirst(spec, word);
    told = true;
  };
  try {
    const end = await serve(spec, { signal, openFar, onReady: () => tell({ ready: true, pid: process.pid }) });
    tell({ ready: false, code: 'interrupted', message: 'the mount was taken away before it was ready' });
    if (end === 'abandoned') process.kill(process.pid, 'SIGKILL');
  } catch (error) {
    tell(firstWordOf(error));
    throw error;
  }
}

async function readAll(input: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input as AsyncIterable<Buffer>) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

function firstWordOf(error: unknown): FirstWord {
  if (!isStkError(error)) return { ready: false, code: 'tool-failed', message: messageOf(error) };
  const { code, message, hint, facts } = error;
  return { ready: false, code, message, facts, ...(hint === undefined ? {} : { hint }) };
}

/** The starter may be gone by now, which changes nothing. */
function sayFirst(spec: ServeSpec, word: FirstWord): void {
  if (spec.ready === undefined) return;
  try {
    writeSync(spec.ready, `${JSON.stringify(word)}\n`);
  } catch {
    // Nobody listens.
  } finally {
    closeSync(spec.ready);
  }
}
