import type { Digest } from '../core/digest.ts';
import type { ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { MemberExtent } from './archive-members.ts';

/** An image of an archive, under the names that it was saved with. */
export interface ArchivedImage {
  readonly descriptor: Descriptor;
  /** As the archive writes them: `repository:tag`, or a plain tag. */
  readonly names: readonly string[];
}

/** What an archive holds, by digest. */
export interface ArchiveContent {
  readonly images: readonly ArchivedImage[];
  readonly blobs: ReadonlyMap<Digest, MemberExtent>;
  /** Manifests that stand in no file of the archive, because its format has none. */
  readonly manifests: ReadonlyMap<Digest, ManifestBytes>;
}

/** The members of an archive, as those who understand its format read them. */
export interface ArchiveFiles {
  readonly name: string;
  readonly members: ReadonlyMap<string, MemberExtent>;
  /** A small file: `invalid-input` if it is missing or larger than 4 MiB. */
  readSmall(member: string): Promise<Buffer>;
  /** Bytes of the file itself, wherever members lie. */
  readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>;
  /** The bytes of an extent in pieces. */
  stream(extent: MemberExtent, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}
