import { StkError, type ErrorFacts } from '../core/errors.ts';
import { shownByteString } from '../core/host-text.ts';

/** A malformed or hostile archive. Byte strings in messages are shown as UTF-8 where they are. */
export function tarError(problem: string, facts: ErrorFacts = {}): StkError {
  return new StkError('invalid-input', `broken layer archive: ${problem}`, {
    hint: 'the layer was made by a broken or hostile tool; pull it again or rebuild the image it comes from',
    facts,
  });
}

/** A byte string as text for people. */
export function shownPath(path: string): string {
  const text = shownByteString(path);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
