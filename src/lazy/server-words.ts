import { StkError, isStkError, messageOf, type ErrorCode, type ErrorFacts } from '../core/errors.ts';

/**
 * What a server says to whoever asks it to serve a mount, a line of JSON each: that it listens, before anything is asked; that
 * it has the device; and then that files can be read, or why not. Where it does not say so, it never took the device.
 */
export type ServerWord =
  | { readonly listens: true }
  | { readonly taken: true }
  | { readonly ready: true; readonly pid: number; readonly keeper?: number }
  | {
      readonly ready: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint?: string;
      readonly facts?: ErrorFacts;
    };

export function refusal(error: unknown): ServerWord {
  if (!isStkError(error)) return { ready: false, code: 'tool-failed', message: messageOf(error) };
  const { code, message, hint, facts } = error;
  return { ready: false, code, message, facts, ...(hint === undefined ? {} : { hint }) };
}

/** The error that a server told. */
export function refusedError(word: Extract<ServerWord, { readonly ready: false }>): StkError {
  const { code, message, hint, facts } = word;
  return new StkError(code, message, { ...(hint === undefined ? {} : { hint }), ...(facts ? { facts } : {}) });
}

/** A message to a server begins with its length in bytes, a 32-bit number, and brings the device. */
export const LENGTH_BYTES = 4;
