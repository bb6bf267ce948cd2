import { isTagMoved } from '../oci/tag-unmoved.ts';
import type { UpdateTarget } from './find-targets.ts';
import { computeUpdate, finishUpdate, type UpdateGroup, type UpdateOutcome, type UpdateRun } from './update-run.ts';

/** How often one image is begun again because others moved its tag. */
const MOST_TRIES = 5;

/**
 * Finishes an update; where somebody else moved the tag meanwhile, begins again with what it stands for now.
 * @param lookAgain the images of a tag as they are now; none: the tag is another's business
 */
export async function finishOrBeginAgain(
  run: UpdateRun,
  group: UpdateGroup,
  lookAgain: (target: UpdateTarget) => Promise<readonly UpdateTarget[]>,
  signal: AbortSignal,
): Promise<readonly UpdateOutcome[]> {
  let current = group;
  for (let tries = 1; ; tries++) {
    try {
      return await finishUpdate(run, current, signal);
    } catch (error) {
      if (!isTagMoved(error) || tries === MOST_TRIES) throw error;
      const targets = await lookAgain(current.target);
      const [target] = targets;
      if (target === undefined) throw error;
      const members = [];
      for (const each of targets) members.push(await computeUpdate(run, each, signal));
      current = { target, members };
    }
  }
}
