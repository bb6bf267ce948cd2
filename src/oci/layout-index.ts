import { jsonLike } from '../core/json-like.ts';
import { errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lockFile } from '../host/file-lock.ts';
import { readSmallFile } from '../host/read-small-file.ts';
import { MAX_MANIFEST_BYTES } from './blob-store.ts';
import { SOURCE_TEXT, type Descriptor, type Index } from './descriptor.ts';
import { MediaType } from './media-types.ts';
import { parseIndex } from './parse-manifest.ts';

const MAX_INDEX_BYTES = 8 * MAX_MANIFEST_BYTES;

/** Annotation that holds a descriptor's tag (image-spec, annotations.md, "Pre-Defined Annotation Keys"). */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** The layout's index.json; an empty index where the file does not exist yet. */
export async function readIndex(directory: AbsPath): Promise<Index> {
  const file = joinInside(directory, 'index.json');
  const bytes = await readSmallFile(file, MAX_INDEX_BYTES).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (bytes === undefined) return { schemaVersion: 2, mediaType: MediaType.index, manifests: [] };
  return parseIndex(bytes, file);
}

/**
 * The only way in which index.json changes: read, modify, write, under an exclusive lock on the layout directory.
 * @param change returns the new list of manifests, or the same one to leave the file alone
 */
export async function updateIndex(
  directory: AbsPath,
  change: (manifests: readonly Descriptor[]) => readonly Descriptor[],
  signal?: AbortSignal,
): Promise<void> {
  await using _lock = await lockFile(directory, 'exclusive', { signal });
  const index = await readIndex(directory);
  const manifests = change(index.manifests);
  if (manifests === index.manifests) return;
  const next: Index = { ...index, schemaVersion: 2, mediaType: MediaType.index, manifests };
  await writeFileAtomic(joinInside(directory, 'index.json'), `${jsonLike(next, index[SOURCE_TEXT] ?? '{}')}\n`);
}

export function tagOf(descriptor: Descriptor): string | undefined {
  return descriptor.annotations?.[REF_NAME];
}

/** The list with `tag` pointing to `descriptor` and nothing else; the same list if it does already. */
export function withTag(manifests: readonly Descriptor[], tag: string, descriptor: Descriptor): readonly Descriptor[] {
  const tagged: Descriptor = { ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME]: tag } };
  const holders = manifests.filter(entry => tagOf(entry) === tag);
  const [holder] = holders;
  if (holders.length === 1 && holder?.digest === descriptor.digest && holder.mediaType === descriptor.mediaType) {
    return manifests;
  }
  const at = manifests.findIndex(entry => tagOf(entry) === tag);
  const rest = manifests.filter(entry => tagOf(entry) !== tag);
  if (at < 0) return [...rest, tagged];
  return [...rest.slice(0, at), tagged, ...rest.slice(at)];
}

/** The list without a tag; the same list if nobody holds it. */
export function withoutTag(manifests: readonly Descriptor[], tag: string): readonly Descriptor[] {
  return manifests.some(entry => tagOf(entry) === tag) ? manifests.filter(entry => tagOf(entry) !== tag) : manifests;
}

/** A manifest without a tag that others must find, such as a referrer, is listed in the index by digest alone. */
export function withUntagged(list: readonly Descriptor[], descriptor: Descriptor): readonly Descriptor[] {
  return list.some(entry => entry.digest === descriptor.digest) ? list : [...list, descriptor];
}

/** The list with entries that have some of these tags in the tags' order, in the places that they hold together. */
export function withOrder(manifests: readonly Descriptor[], tags: readonly string[]): readonly Descriptor[] {
  const rank = new Map(tags.map((tag, index) => [tag, index]));
  const rankOf = (entry: Descriptor) => rank.get(tagOf(entry) ?? '');
  const ranked = manifests.filter(entry => rankOf(entry) !== undefined);
  const sorted = ranked.toSorted((a, b) => rankOf(a)! - rankOf(b)!);
  if (sorted.every((entry, index) => entry === ranked[index])) return manifests;
  let next = 0;
  return manifests.map(entry => (rankOf(entry) === undefined ? entry : sorted[next++]!));
}
