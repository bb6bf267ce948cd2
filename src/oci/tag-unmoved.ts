import type { Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';

/** Throws `conflict` unless a tag stands for what it is expected to. */
export function assertTagUnmoved(
  name: string,
  tag: string,
  expected: Digest | undefined,
  found: Digest | undefined,
): void {
  if (found === expected) return;
  throw new StkError('conflict', `${name}: ${tag} was moved by somebody else meanwhile`, {
    hint: 'run the same again: it begins with what is there now',
    facts: { tag, tagMoved: true, ...(expected === undefined ? {} : { expected }), ...(found === undefined ? {} : { found }) },
  });
}

/** Whether work failed for nothing else than that a tag had moved: done again, it begins with what is there now. */
export function isTagMoved(error: unknown): boolean {
  return isStkError(error, 'conflict') && error.facts['tagMoved'] === true;
}
