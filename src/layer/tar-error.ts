import { StkError, type ErrorFacts } from '../core/errors.ts';
import { shownByteString } from '../core/host-text.ts';

/** Thrown for what is malformed or hostile in a tar archive. */
export class TarError extends StkError {
  /** What it is, for whoever knows what the archive is. */
  readonly problem: string;

  constructor(problem: string, facts: ErrorFacts) {
    super('invalid-input', `broken layer archive: ${problem}`, {
      hint: 'the layer was made by a broken or hostile tool; pull it again or rebuild the image it comes from',
      facts,
    });
    this.problem = problem;
  }
}

/** A malformed or hostile archive. Byte strings in messages are shown as UTF-8 where they are. */
export function tarError(problem: string, facts: ErrorFacts = {}): TarError {
  return new TarError(problem, facts);
}

/** A byte string as text for people. */
export function shownPath(path: string): string {
  const text = shownByteString(path);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
