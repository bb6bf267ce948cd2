import type { ConflictRule } from '../apply/merge-problem.ts';
import { StkError } from '../core/errors.ts';
import type { ConflictResolution } from '../recipe/model.ts';

const RESOLUTIONS: ReadonlySet<string> = new Set<ConflictResolution>([
  'error',
  'first',
  'last',
  'newer',
  'merge',
  'regenerate',
]);

/** A rule as an image's annotation or a command line has it. Throws `invalid-input` for an unknown resolution. */
export function conflictRule(glob: string, resolution: string): ConflictRule {
  if (RESOLUTIONS.has(resolution)) return { glob, resolution: resolution as ConflictResolution };
  throw new StkError('invalid-input', `no such way to settle a conflict: ${resolution.slice(0, 50)}`, {
    hint: `the ways are ${[...RESOLUTIONS].join(', ')}`,
  });
}
