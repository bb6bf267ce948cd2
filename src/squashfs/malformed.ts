import { StkError } from '../core/errors.ts';

/** The error for an image whose bytes contradict the squashfs 4.0 format; code `invalid-input`. */
export function malformed(image: string, problem: string, cause?: unknown): StkError {
  return new StkError('invalid-input', `${image} is not a valid squashfs image: ${problem}`, {
    hint: 'the file is damaged or was made by a broken tool; fetch or build it again',
    ...(cause === undefined ? {} : { cause }),
    facts: { image },
  });
}

/** A compressed block that does not decode. Carries no image name: whoever reads the block wraps it with one. */
export class CorruptBlock extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options);
    this.name = 'CorruptBlock';
  }
}
