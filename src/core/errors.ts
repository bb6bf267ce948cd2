import { shownHostText } from './host-text.ts';

/**
 * What the world did to us. Bugs are plain `Error`s; what a user wrote in a recipe is a list of `Diagnostic`s.
 *
 * | code | meaning |
 * | --- | --- |
 * | usage | the command line is wrong |
 * | recipe-invalid | a recipe has problems; `diagnostics` holds all of them |
 * | step-failed | a command of a recipe exited non-zero |
 * | registry | a registry answered something unusable or refused |
 * | network | a server could not be reached |
 * | unauthorized | credentials are missing or were refused |
 * | missing-capability | the host lacks a tool, a kernel feature or a permission |
 * | integrity | bytes do not match their digest, size or verity root |
 * | not-found | a named image, tag, file or path does not exist |
 * | invalid-input | an archive, manifest or file is malformed or hostile |
 * | storage | the disk is full or refuses to be written |
 * | tool-failed | an external tool failed for a reason not covered above |
 * | conflict | something else holds or already is what was asked for |
 * | unsupported | well formed, but not something stk can do |
 * | interrupted | a signal or a failing sibling ended the work |
 */
export type ErrorCode =
  | 'usage'
  | 'recipe-invalid'
  | 'step-failed'
  | 'registry'
  | 'network'
  | 'unauthorized'
  | 'missing-capability'
  | 'integrity'
  | 'not-found'
  | 'invalid-input'
  | 'storage'
  | 'tool-failed'
  | 'conflict'
  | 'unsupported'
  | 'interrupted';

export type ErrorFacts = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export interface StkErrorOptions {
  /** The next step for whoever reads the message. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Path, digest, URL (secrets redacted), exit status, …: machine-readable, serialisable. */
  readonly facts?: ErrorFacts;
}

export class StkError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, options: StkErrorOptions = {}) {
    super(redact(message), options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'StkError';
    this.code = code;
    this.hint = options.hint === undefined ? undefined : redact(options.hint);
    this.facts = redactFacts(options.facts ?? {});
  }
}

/** Facts name references and URLs as they were written, which may hold a password; all other text stays as it is. */
function redactFacts(facts: ErrorFacts): ErrorFacts {
  const clean = (text: string) => (text.includes('://') ? redact(text) : text);
  const entries = Object.entries(facts).map(([name, value]) => {
    if (typeof value === 'string') return [name, clean(value)] as const;
    return [name, typeof value === 'object' ? value.map(clean) : value] as const;
  });
  return Object.fromEntries(entries);
}

export function isStkError(error: unknown, ...codes: readonly ErrorCode[]): error is StkError {
  return error instanceof StkError && (codes.length === 0 || codes.includes(error.code));
}

/** Takes passwords out of URLs and bearer values out of text, and control characters that could drive a terminal. */
export function redact(text: string): string {
  return (
    shownHostText(text)
      .replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s]*@/gi, '$1***@')
      // A password with a slash in it; a number before the slash is a port.
      .replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s:@]*:(?!\d{1,5}\/)[^\s]{1,200}@/gi, '$1***@')
      .replace(/\b(bearer|basic)\s+[a-z0-9+/=._~-]{8,}/gi, '$1 ***')
      .replace(/([?&](?:token|access_token|refresh_token|password|sig|signature|x-amz-[a-z-]+)=)[^&\s]+/gi, '$1***')
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
  );
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), if it is one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Throws `interrupted` if the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted(signal);
}

export function interrupted(signal: AbortSignal): StkError {
  return isStkError(signal.reason)
    ? signal.reason
    : new StkError('interrupted', 'interrupted', { cause: signal.reason });
}
