import { isStkError, type ErrorCode } from '../core/errors.ts';

const CODES: ReadonlySet<ErrorCode> = new Set(['integrity', 'invalid-input', 'unsupported', 'not-found']);

/** Whether a document is damaged, malformed or gone, in contrast to one that the system does not let us read. */
export function isUnusable(error: unknown): boolean {
  return isStkError(error) && CODES.has(error.code);
}
