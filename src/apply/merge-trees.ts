import type { MergeDriver } from './driver.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeResult } from './merge-result.ts';

export interface MergeOptions {
  /** Asked in this order; default all that there are. */
  readonly drivers?: readonly MergeDriver[];
  readonly signal?: AbortSignal | undefined;
}

/** Decides what the merged tree of a problem is and how it differs from the plain stack. */
export async function mergeTrees(problem: MergeProblem, _options: MergeOptions = {}): Promise<MergeResult> {
  throw new Error(`not written yet: ${problem.sides.length}`);
}
