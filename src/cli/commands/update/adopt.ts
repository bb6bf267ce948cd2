import type { Session } from '../../session.ts';
import { updateImages, type ImagesFlags } from './update.ts';
import { adoptedParts } from './wanted-parts.ts';

export interface AdoptFlags extends Omit<ImagesFlags, 'all' | 'conflict'> {
  readonly apply: readonly string[];
  readonly base?: string;
}

/** `stk adopt IMAGE`: annotations that say what the layers of an image are. */
export async function runAdopt(session: Session, image: string, flags: AdoptFlags): Promise<number> {
  return updateImages(session, image, { ...flags, conflict: [] }, adoptedParts(flags.apply, flags.base));
}
