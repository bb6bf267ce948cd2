import { readdir, rm, stat } from 'node:fs/promises';
import { digestFromHex, type Digest } from '../core/digest.ts';
import { throwIfAborted } from '../core/errors.ts';
import { joinInside } from '../core/paths.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { removeTree } from '../host/tools/copy.ts';
import type { Descriptor } from './descriptor.ts';
import type { LayoutStore } from './layout.ts';
import { readIndex } from './layout-index.ts';
import { isIndexType, isManifestType } from './media-types.ts';
import { parseManifest } from './parse-manifest.ts';

export interface Garbage {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface GcOptions {
  /** Blobs that something besides the index needs: cache records, for instance. Manifests among them keep what they name. */
  readonly keep: Iterable<Digest>;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
  readonly onWait?: () => void;
}

/**
 * Removes blobs that neither the index nor `keep` reaches, and temporary directories that nobody holds. It waits until
 * no build adds blobs to the layout. A damaged manifest keeps itself and reaches nothing further.
 */
export async function collectGarbage(layout: LayoutStore, options: GcOptions): Promise<readonly Garbage[]> {
  const { signal, onWait } = options;
  await using _lock = await layout.lockBlobs('exclusive', { ...(signal && { signal }), ...(onWait && { onWait }) });
  const reached = await reachableBlobs(layout, options);
  const directory = joinInside(layout.directory, 'blobs/sha256');
  const garbage: Garbage[] = [];
  for (const name of await readdir(directory)) {
    throwIfAborted(signal);
    const file = joinInside(directory, name);
    if (!/^[0-9a-f]{64}$/.test(name)) {
      if (name.startsWith('.tmp-') && !options.dryRun) await rm(file, { force: true });
      continue;
    }
    const digest = digestFromHex(name);
    if (reached.has(digest)) continue;
    garbage.push({ digest, sizeBytes: (await stat(file)).size });
    if (!options.dryRun) await rm(file, { force: true });
  }
  if (!options.dryRun) await removeTemporary(layout);
  return garbage;
}

async function reachableBlobs(layout: LayoutStore, options: GcOptions): Promise<ReadonlySet<Digest>> {
  const reached = new Set<Digest>();
  const pending: Digest[] = [...options.keep];
  const roots: readonly Descriptor[] = (await readIndex(layout.directory)).manifests;
  pending.push(...roots.map(root => root.digest));
  for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
    throwIfAborted(options.signal);
    if (reached.has(digest)) continue;
    reached.add(digest);
    const descriptor = await layout.resolve(digest).catch(() => undefined);
    if (!descriptor || !(isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType))) continue;
    const read = await layout.readManifest(digest).catch(() => undefined);
    if (!read) continue;
    const parsed = parseManifest(read.bytes, digest);
    const named =
      parsed.kind === 'index' ? parsed.manifest.manifests : [parsed.manifest.config, ...parsed.manifest.layers];
    pending.push(...named.map(entry => entry.digest));
  }
  return reached;
}

async function removeTemporary(layout: LayoutStore): Promise<void> {
  for (const name of await readdir(layout.directory)) {
    if (!name.startsWith('.stk-tmp-')) continue;
    const directory = joinInside(layout.directory, name);
    const lock = await tryLockFile(directory, 'exclusive').catch(() => undefined);
    if (!lock) continue;
    await removeTree(directory);
    await lock[Symbol.asyncDispose]();
  }
}
