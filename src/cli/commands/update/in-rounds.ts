import type { FailedTarget, UpdateTarget } from '../../../update/find-targets.ts';
import type { ComputedUpdate, UpdateOutcome } from '../../../update/update-run.ts';

/** What came of some images, and which of them failed, for a reason each. */
export interface Attempts<R> {
  readonly done: readonly R[];
  readonly failed: readonly FailedTarget[];
}

/** The two halves of an update, each over many images. */
export interface Round {
  /** Whether what is written in one round may help in the next. */
  readonly mayRepeat: boolean;
  /** @param round from 0 on */
  readonly compute: (targets: readonly UpdateTarget[], round: number) => Promise<Attempts<ComputedUpdate>>;
  readonly finish: (computed: readonly ComputedUpdate[]) => Promise<Attempts<UpdateOutcome>>;
}

/**
 * Updates images, all of them computed before any is written, and then those again that failed, as long as others were
 * written: on a new base, what an image applies may have been brought there just now.
 */
export async function updateInRounds(
  targets: readonly UpdateTarget[],
  { mayRepeat, compute, finish }: Round,
): Promise<Attempts<UpdateOutcome> & { readonly computed: readonly ComputedUpdate[] }> {
  const computed: ComputedUpdate[] = [];
  const done: UpdateOutcome[] = [];
  const failed: FailedTarget[] = [];
  let pending = targets;
  for (let round = 0; ; round++) {
    const now = await compute(pending, round);
    const written = await finish(now.done);
    computed.push(...now.done);
    done.push(...written.done);
    failed.push(...written.failed);
    const isFailed = (target: UpdateTarget) => now.failed.some(each => isOf(each, target));
    pending = mayRepeat && written.done.some(outcome => 'sentBytes' in outcome) ? pending.filter(isFailed) : [];
    if (pending.length === 0) return { computed, done, failed: [...failed, ...now.failed] };
  }
}

function isOf({ name, tag, from }: FailedTarget, target: UpdateTarget): boolean {
  return name === target.image.name && tag === target.tag && from === target.image.descriptor.digest;
}
