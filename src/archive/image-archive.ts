import { AsyncScope } from '../core/async-scope.ts';
import type { BlobReader } from '../core/blob-reader.ts';
import { digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { openFileReader } from '../host/file-reader.ts';
import { openDigester } from '../host/thread-digester.ts';
import { MAX_MANIFEST_BYTES, type BlobStore, type CallOptions, type ManifestBytes } from '../oci/blob-store.ts';
import type { ReadOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { isIndexType, isManifestType } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import type { ArchivePlace } from '../oci/store-place.ts';
import type { ArchiveContent, ArchiveFiles } from './archive-content.ts';
import { readArchiveMembers, type MemberExtent } from './archive-members.ts';
import { describeDockerImages } from './docker-archive.ts';
import { inflateArchive } from './inflate-archive.ts';
import { copyOfPipe } from './unnamed-copy.ts';
import { describeLayoutImages } from './layout-archive.ts';

const PIECE_BYTES = 1024 * 1024;

/**
 * Images saved to a tar file, compressed or not, by `docker save`, `podman save` or `skopeo copy … docker-archive:/oci-archive:`, read where
 * they lie. Reading only: what writes is `unsupported`.
 */
export class ImageArchive implements BlobStore, AsyncDisposable {
  readonly name: string;
  readonly place: ArchivePlace;
  readonly #files: ArchiveFiles;
  readonly #content: ArchiveContent;
  readonly #scope: AsyncScope;

  private constructor(file: AbsPath, files: ArchiveFiles, content: ArchiveContent, scope: AsyncScope) {
    this.name = files.name;
    this.place = { kind: 'archive', file };
    this.#files = files;
    this.#content = content;
    this.#scope = scope;
  }

  /**
   * Throws `not-found`, `invalid-input` for a file that is no such archive, and what `inflateArchive` throws.
   * @param scratch where one that is compressed, or comes through a pipe, has room
   */
  static async open(file: AbsPath, scratch: AbsPath, options: CallOptions = {}): Promise<ImageArchive> {
    const scope = new AsyncScope();
    try {
      const asItIs = scope.use((await copyOfPipe(file, scratch, options.signal)) ?? (await openFileReader(file)));
      const inflated = await inflateArchive(asItIs, scratch, options.signal);
      const reader = inflated ? scope.use(inflated) : asItIs;
      const files = await openFiles(reader, options.signal);
      const describe = files.members.has('oci-layout') ? describeLayoutImages : describeDockerImages;
      return new ImageArchive(file, files, await describe(files, options.signal), scope);
    } catch (error) {
      await scope[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The digest of the archive's image, if it has just one. */
  only(): Digest | undefined {
    const digests = new Set(this.#content.images.map(image => image.descriptor.digest));
    return digests.size === 1 ? [...digests][0] : undefined;
  }

  /** The tag alone of a name that an image was saved under; of the only image's first name by default. */
  shortTag(name?: string): string | undefined {
    const written = name ?? (this.only() && this.#content.images.flatMap(image => image.names)[0]);
    return written === undefined || isDigest(written) ? undefined : written.slice(written.lastIndexOf(':') + 1);
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    return this.#content.blobs.get(descriptor.digest)?.sizeBytes === descriptor.size;
  }

  async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    const extent = this.#content.blobs.get(descriptor.digest);
    if (!extent) throw new StkError('not-found', `${this.name} has no blob ${descriptor.digest}`);
    const digester = openDigester(extent.sizeBytes);
    try {
      for await (const piece of this.#files.stream(extent, options.signal)) {
        const wait = digester.update(piece);
        if (wait) await wait;
        yield piece;
        options.onProgress?.(digester.sizeBytes);
      }
      if (digester.sizeBytes === descriptor.size && (await digester.finish()) === descriptor.digest) return;
    } finally {
      digester.abandon();
    }
    throw new StkError('integrity', `${this.name}: bytes do not match blob ${descriptor.digest}`, {
      hint: 'the archive was damaged: save the image again',
      facts: { digest: descriptor.digest, sizeBytes: descriptor.size },
    });
  }

  /** Part of a blob, **not verified**, as of a registry. */
  async readBlobRange(
    { digest }: Descriptor,
    offset: number,
    length: number,
    { signal }: CallOptions = {},
  ): Promise<Buffer> {
    const extent = this.#content.blobs.get(digest);
    if (!extent) throw new StkError('not-found', `${this.name} has no blob ${digest}`);
    if (offset + length > extent.sizeBytes) {
      throw new StkError('integrity', `${this.name}: blob ${digest} is ${extent.sizeBytes} bytes long`);
    }
    return this.#files.readAt(extent.offset + offset, length, signal);
  }

  async resolve(reference: string): Promise<Descriptor | undefined> {
    const { images, manifests } = this.#content;
    if (!isDigest(reference))
      return images.find(({ names }) => names.some(name => isNamed(name, reference)))?.descriptor;
    const known = images.find(image => image.descriptor.digest === reference)?.descriptor;
    if (known) return known;
    const extent = this.#content.blobs.get(reference);
    if (!extent || manifests.has(reference) || extent.sizeBytes > MAX_MANIFEST_BYTES) return undefined;
    try {
      const { mediaType } = parseManifest(await this.#bytes(extent), reference);
      return { mediaType, digest: reference, size: extent.sizeBytes };
    } catch (error) {
      if (isStkError(error, 'invalid-input')) return undefined;
      throw error;
    }
  }

  async readManifest(reference: string): Promise<ManifestBytes> {
    const descriptor = await this.resolve(reference);
    const made = descriptor && this.#content.manifests.get(descriptor.digest);
    if (made) return made;
    const extent = descriptor && this.#content.blobs.get(descriptor.digest);
    if (!descriptor || !extent) throw this.#noSuch(reference);
    if (!isManifestType(descriptor.mediaType) && !isIndexType(descriptor.mediaType)) {
      throw new StkError('unsupported', `${this.name}: ${reference} is no image but ${descriptor.mediaType}`);
    }
    const bytes = await this.#bytes(extent);
    if (digestOf(bytes) !== descriptor.digest) {
      throw new StkError('integrity', `${this.name}: the manifest of ${reference} does not match its digest`);
    }
    return { descriptor: { ...descriptor, size: bytes.byteLength }, bytes };
  }

  async tags(): Promise<readonly string[]> {
    return this.#content.images.flatMap(image => image.names);
  }

  async referrers(): Promise<readonly Descriptor[]> {
    return [];
  }

  async putBlob(): Promise<void> {
    throw this.#readOnly();
  }

  async putManifest(): Promise<void> {
    throw this.#readOnly();
  }

  async #bytes(extent: MemberExtent): Promise<Buffer> {
    if (extent.sizeBytes > MAX_MANIFEST_BYTES) {
      throw new StkError('invalid-input', `${this.name}: a manifest of ${extent.sizeBytes} bytes`);
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#files.stream(extent)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  #noSuch(reference: string): StkError {
    const names = this.#content.images.flatMap(image => image.names);
    return new StkError('not-found', `${this.name} has no image ${reference}`, {
      hint: names.length === 0 ? 'its images have no names' : `it has: ${names.slice(0, 20).join(', ')}`,
      facts: { reference },
    });
  }

  #readOnly(): StkError {
    return new StkError('unsupported', `${this.name} is read only`, { hint: 'write to oci:DIR or docker://…' });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#scope[Symbol.asyncDispose]();
  }
}

/** The whole name, or what follows the last colon or slash of it. */
function isNamed(name: string, reference: string): boolean {
  return name === reference || name.endsWith(`:${reference}`) || name.endsWith(`/${reference}`);
}

async function openFiles(reader: BlobReader, signal: AbortSignal | undefined): Promise<ArchiveFiles> {
  const members = await readArchiveMembers(reader, signal);
  async function* stream({ offset, sizeBytes }: MemberExtent, inner?: AbortSignal): AsyncIterable<Uint8Array> {
    for (let done = 0; done < sizeBytes;) {
      throwIfAborted(inner ?? signal);
      const piece = await reader.readAt(offset + done, Math.min(PIECE_BYTES, sizeBytes - done), inner ?? signal);
      done += piece.byteLength;
      yield piece;
    }
  }
  const readSmall = async (member: string): Promise<Buffer> => {
    const extent = members.get(member);
    const problem = !extent ? 'is no archive of images: it has no' : 'has an oversized';
    if (!extent || extent.sizeBytes > MAX_MANIFEST_BYTES) {
      throw new StkError('invalid-input', `${reader.name} ${problem} ${member}`, { facts: { path: reader.name } });
    }
    return reader.readAt(extent.offset, extent.sizeBytes, signal);
  };
  const readAt: ArchiveFiles['readAt'] = (offset, length, inner) => reader.readAt(offset, length, inner ?? signal);
  return { name: reader.name, members, stream, readSmall, readAt };
}
