import { formatBytes } from '../../../core/bytes.ts';
import { isDigest, type Digest } from '../../../core/digest.ts';
import type { JsonValue } from '../../../core/canonical-json.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { collectGarbage } from '../../../oci/gc.ts';
import { containersHome, listContainers } from '../../../container/container-record.ts';
import { keptManifests } from '../../../fleet/roll-journal.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { mountedDigests } from '../../../mount/mounted-digests.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';

/** `stk gc`. */
export async function runGc(
  session: Session,
  flags: { readonly keepCache: boolean; readonly dryRun?: boolean; readonly json?: boolean },
): Promise<number> {
  const layout = await LayoutStore.open(session.global.ociDir);
  const keep = new Set<Digest>();
  // Containers that are kept can go on, and be committed, on the image that they were made of.
  for (const { record } of await listContainers(containersHome(session.global.stkDir))) {
    if (record) keep.add(record.digest);
  }
  // What a roll replaced can be put back.
  for (const digest of await keptManifests(stateDirectories(session.global.stkDir).fleets)) keep.add(digest);
  if (flags.keepCache) {
    const records = new RecordCache(stateDirectories(session.global.stkDir).records);
    for (const kind of ['step', 'image', 'apply', 'convert'] as const) {
      for await (const record of records.all(kind)) collectDigests(record, keep);
    }
  }
  const garbage = await collectGarbage(layout, {
    keep,
    alsoKeep: async () => mountedDigests(await stateHome(session.environment, await readPrivileges())),
    dryRun: flags.dryRun === true,
    signal: session.signal,
    onWait: () => session.stderr.write('waiting for a running build to end\n'),
  });
  const sizeBytes = garbage.reduce((sum, blob) => sum + blob.sizeBytes, 0);
  if (flags.json) session.stdout.write(`${jsonText({ removed: garbage, sizeBytes, dryRun: flags.dryRun === true })}\n`);
  else {
    for (const blob of garbage) session.stdout.write(`${blob.digest} ${formatBytes(blob.sizeBytes)}\n`);
    const verb = flags.dryRun ? 'would remove' : 'removed';
    session.stdout.write(`${verb} ${garbage.length} blobs, ${formatBytes(sizeBytes)}\n`);
  }
  return 0;
}

/** Every digest that a record names may be a blob. */
function collectDigests(value: JsonValue, into: Set<Digest>): void {
  if (isDigest(value)) into.add(value);
  else if (Array.isArray(value)) for (const entry of value) collectDigests(entry as JsonValue, into);
  else if (typeof value === 'object' && value !== null) {
    for (const entry of Object.values(value)) if (entry !== undefined) collectDigests(entry, into);
  }
}
