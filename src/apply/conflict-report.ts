import { StkError } from '../core/errors.ts';
import type { MergeConflict } from './merge-result.ts';

export interface ConflictReport {
  /** For people: every conflict, several lines. */
  readonly text: string;
  /** A `conflicts:` block in YAML that would settle them; empty where no rule would. */
  readonly suggestion: string;
}

/** Says what clashes. */
export function describeConflicts(conflicts: readonly MergeConflict[]): ConflictReport {
  return { text: conflicts.map(({ message }) => message).join('\n'), suggestion: '' };
}

/** The conflicts as one error, code `conflict`. */
export function conflictError(conflicts: readonly MergeConflict[]): StkError {
  return new StkError('conflict', describeConflicts(conflicts).text);
}
