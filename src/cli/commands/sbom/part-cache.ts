import { joinInside } from '../../../core/paths.ts';
import { PartCache } from '../../../inventory/part-cache.ts';
import { userCacheDirectory } from '../../../stores/user-cache.ts';
import type { Session } from '../../session.ts';

/** Where parts of layers are remembered for the user. */
export async function partCache({ environment }: Pick<Session, 'environment'>): Promise<PartCache> {
  const directory = await userCacheDirectory(environment);
  return new PartCache(directory && joinInside(directory, 'parts'));
}
