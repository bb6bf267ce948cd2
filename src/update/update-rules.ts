import type { ConflictRule } from '../apply/merge-problem.ts';
import { StkError } from '../core/errors.ts';
import { CONFLICT_RESOLUTIONS, isConflictResolution } from '../recipe/model.ts';

/** A rule as an image's annotation or a command line has it. Throws `invalid-input` for an unknown resolution. */
export function conflictRule(glob: string, resolution: string): ConflictRule {
  if (isConflictResolution(resolution)) return { glob, resolution };
  throw new StkError('invalid-input', `no such way to settle a conflict: ${resolution.slice(0, 50)}`, {
    hint: `the ways are ${CONFLICT_RESOLUTIONS.join(', ')}`,
  });
}
