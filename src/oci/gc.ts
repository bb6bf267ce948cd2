import { digestFromHex, type Digest } from '../core/digest.ts';
import { throwIfAborted } from '../core/errors.ts';
import { joinInside } from '../core/paths.ts';
import { tryLockFile } from '../host/file-lock.ts';
import { lstat, readdir, rm } from '../host/files.ts';
import { removeTree } from '../host/tools/copy.ts';
import type { Descriptor } from './descriptor.ts';
import type { LayoutStore } from './layout.ts';
import { readIndex } from './layout-index.ts';
import { markCollecting, readGcRoots } from './gc-roots.ts';
import { isIndexType, isManifestType } from './media-types.ts';
import { parseManifest } from './parse-manifest.ts';
import { isUnusable } from './unusable-document.ts';

export interface Garbage {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface GcOptions {
  /** Blobs that something besides the index needs: cache records, for instance. Manifests among them keep what they name. */
  readonly keep: Iterable<Digest>;
  /** Looked at once nobody can begin to need something unseen: what mounts hold that could not tell the layout. */
  readonly alsoKeep?: () => Promise<Iterable<Digest>>;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
  readonly onWait?: () => void;
}

/**
 * Removes blobs that neither the index nor a root (see `addGcRoot`) nor `keep` reaches, and temporary directories that nobody holds. It waits until
 * no build adds blobs to the layout. A damaged manifest keeps itself and reaches nothing further; one that the system does
 * not let us read ends it before anything is removed.
 */
export async function collectGarbage(layout: LayoutStore, options: GcOptions): Promise<readonly Garbage[]> {
  const { signal, onWait } = options;
  await using _lock = await layout.lockBlobs('exclusive', { ...(signal && { signal }), ...(onWait && { onWait }) });
  // Whoever only looks leaves no mark.
  await using _mark = options.dryRun ? undefined : await markCollecting(layout.directory);
  const needed = (await readGcRoots(layout.directory)).map(({ digest }) => digest);
  const keep = [...options.keep, ...needed, ...((await options.alsoKeep?.()) ?? [])];
  const reached = await reachableBlobs(layout, { ...options, keep });
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
    const stats = await lstat(file);
    // A directory is no blob, whatever its name: somebody else has put it there.
    if (stats.isDirectory()) continue;
    garbage.push({ digest, sizeBytes: stats.size });
    if (!options.dryRun) await rm(file, { force: true });
  }
  if (!options.dryRun) await removeTemporary(layout);
  return garbage;
}

/** Blobs that the index, roots (see `addGcRoot`) or `keep` reach. */
export async function neededBlobs(layout: LayoutStore, keep: Iterable<Digest>): Promise<ReadonlySet<Digest>> {
  const roots = (await readGcRoots(layout.directory)).map(({ digest }) => digest);
  return reachableBlobs(layout, { keep: [...keep, ...roots] });
}

async function reachableBlobs(layout: LayoutStore, options: Pick<GcOptions, 'keep' | 'signal'>): Promise<ReadonlySet<Digest>> {
  const reached = new Set<Digest>();
  const read = new Set<Digest>();
  const pending: (Descriptor | { readonly digest: Digest })[] = [...options.keep].map(digest => ({ digest }));
  pending.push(...(await readIndex(layout.directory)).manifests);
  for (let entry = pending.pop(); entry !== undefined; entry = pending.pop()) {
    throwIfAborted(options.signal);
    reached.add(entry.digest);
    if (read.has(entry.digest) || ('mediaType' in entry && !isDocument(entry))) continue;
    read.add(entry.digest);
    pending.push(...(await namedBy(layout, entry)));
  }
  return reached;
}

/** What a manifest or index names; nothing for what is neither, and for what is damaged. */
async function namedBy(
  layout: LayoutStore,
  entry: Descriptor | { readonly digest: Digest },
): Promise<readonly Descriptor[]> {
  try {
    const descriptor = 'mediaType' in entry ? entry : await layout.describeManifest(entry.digest);
    if (!descriptor || !isDocument(descriptor)) return [];
    const parsed = parseManifest(await layout.manifestBytes(descriptor), descriptor.digest);
    return parsed.kind === 'index' ? parsed.manifest.manifests : [parsed.manifest.config, ...parsed.manifest.layers];
  } catch (error) {
    // One that cannot be read now may name everything: nothing must be removed then.
    if (isUnusable(error)) return [];
    throw error;
  }
}

function isDocument({ mediaType }: Descriptor): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

async function removeTemporary(layout: LayoutStore): Promise<void> {
  for (const name of await readdir(layout.directory)) {
    if (!name.startsWith('.stk-tmp-')) continue;
    const directory = joinInside(layout.directory, name);
    const lock = await tryLockFile(directory, 'exclusive').catch(() => undefined);
    if (!lock) continue;
    try {
      await removeTree(directory);
    } finally {
      await lock[Symbol.asyncDispose]();
    }
  }
}
