import type { BlobStore } from '../oci/blob-store.ts';
import { parseImageName, type ImageName, type StoredName } from '../oci/image-name.ts';
import { isHostLike, parseRegistryReference } from '../oci/reference.ts';

/** A base as annotations call it (image-spec, annotations.md): without a transport. */
export function baseName(ref: string): string {
  return ref.replace(/^(?:docker:\/\/|oci:)/, '');
}

/** What an annotation calls an image: with a transport, or by the name that it was built under. */
export function entryName(ref: string): ImageName {
  const name = parseImageName(ref);
  return name.kind === 'archive' && !/^[a-z]+-archive:/.test(ref) ? { kind: 'tag', tag: ref } : name;
}

/** A bare tag is meant in the image's own layout. */
export function inStoreOf({ place }: BlobStore, name: ImageName): ImageName {
  return name.kind === 'tag' && place.kind === 'oci' ? { ...name, ...place } : name;
}

/** The store of an entry's reference; an image that was built together with this one lies beside it in a registry. */
export function placeOf({ place }: BlobStore, ref: string): StoredName | undefined {
  const name = entryName(ref);
  if (name.kind === 'docker') return { kind: name.kind, host: name.host, repository: name.repository };
  if (name.kind === 'oci') return { kind: name.kind, directory: name.directory };
  if (name.kind === 'archive' || place.kind !== 'docker') return undefined;
  try {
    return parseRegistryReference(`${place.host}/${[...place.repository.split('/').slice(0, -1), ref].join('/')}`);
  } catch {
    return undefined;
  }
}

/** Annotations name a base without a transport: a tag of the same layout, or a registry with its host. */
export async function whereIsBase(store: BlobStore, name: string): Promise<ImageName | undefined> {
  if (store.place.kind === 'oci' && (await store.resolve(name))) return { ...store.place, tag: name };
  const host = name.split('/')[0] ?? '';
  return name.includes('/') && isHostLike(host) ? parseRegistryReference(name) : undefined;
}
