import { readdir } from '../host/files.ts';
import type { Digest } from '../core/digest.ts';
import { isStkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { readRecordsIn } from './mount-record.ts';
import { mountHomes } from './state-directory.ts';

/**
 * Manifests and layers of every mount that is recorded where the caller may look: of this user, and for root of everybody,
 * in whatever mount namespace. Records that cannot be read are passed over, since others can write some of them.
 *
 * @param home see `stateHome`
 */
export async function mountedDigests(home: AbsPath): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>();
  for (const place of await mountHomes(home)) {
    for (const name of await readdir(place).catch(() => [])) {
      if (!/^mnt-\d+$/.test(name)) continue;
      for (const { digest, layers } of await recordsIn(joinInside(place, `${name}/records`))) {
        for (const each of [digest, ...layers.map(layer => layer.digest)]) digests.add(each);
      }
    }
  }
  return digests;
}

async function recordsIn(directory: AbsPath): ReturnType<typeof readRecordsIn> {
  try {
    return await readRecordsIn(directory);
  } catch (error) {
    // One of another version, or of somebody who means ill; whoever collects must get on.
    if (isStkError(error) || (error instanceof Error && 'code' in error)) return [];
    throw error;
  }
}
