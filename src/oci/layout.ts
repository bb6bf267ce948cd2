import path from 'node:path';
import { Digester, digestHex, digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { publishFile, storageError, writeFileAtomic } from '../host/atomic-write.ts';
import { lockFile, type FileLock } from '../host/file-lock.ts';
import { mkdir, open, rm, stat } from '../host/files.ts';
import { makeLockedDir } from '../host/locked-dir.ts';
import { readSmallFile } from '../host/read-small-file.ts';
import { writeChunks } from '../host/write-chunks.ts';
import { isAttachmentTag } from './attachment-tag.ts';
import { assertBytes, hashed } from './blob-bytes.ts';
import { MAX_MANIFEST_BYTES } from './blob-store.ts';
import type { BlobStore, CallOptions, ManifestBytes, PutManifestOptions } from './blob-store.ts';
import type { PutOptions, ReadOptions } from './blob-store.ts';
import type { Descriptor, Manifest } from './descriptor.ts';
import { readIndex, tagOf, updateIndex, withOrder, withTag, withUntagged, withoutTag } from './layout-index.ts';
import { isIndexType, isManifestType } from './media-types.ts';
import { parseManifest } from './parse-manifest.ts';
import { readBlobFile } from './read-blob-file.ts';
import type { LayoutPlace } from './store-place.ts';
import { assertTagUnmoved } from './tag-unmoved.ts';
import { isUnusable } from './unusable-document.ts';

const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}';
const TEMP_PREFIX = '.stk-tmp';

/**
 * An OCI image layout directory (image-spec, image-layout.md). Blobs appear under their digest by rename only, after
 * they were hashed and synced; index.json changes under a lock. A reader, or a kill at any moment, sees a valid layout.
 */
export class LayoutStore implements BlobStore {
  readonly name: string;
  readonly directory: AbsPath;
  readonly place: LayoutPlace;

  private constructor(directory: AbsPath) {
    this.directory = directory;
    this.name = `oci:${directory}`;
    this.place = { kind: 'oci', directory };
  }

  /** Opens a layout for reading. Throws `not-found` where there is none, `invalid-input` for a foreign version. */
  static async open(directory: AbsPath): Promise<LayoutStore> {
    const file = joinInside(directory, 'oci-layout');
    const text = await readSmallFile(file, MAX_MANIFEST_BYTES).catch((cause: unknown) => {
      throw new StkError('not-found', `no OCI layout at ${directory}`, {
        cause,
        hint: 'name the directory that holds oci-layout and index.json',
        facts: { path: directory },
      });
    });
    if (!/"imageLayoutVersion"\s*:\s*"1\.\d+\.\d+"/.test(text.toString('utf8'))) {
      throw new StkError('invalid-input', `${file} names no layout version that stk knows`);
    }
    return new LayoutStore(directory);
  }

  /** Opens a layout, making an empty one where there is none. Idempotent, safe beside others doing the same. */
  static async create(directory: AbsPath): Promise<LayoutStore> {
    try {
      await mkdir(path.join(directory, 'blobs', 'sha256'), { recursive: true });
      if (!(await exists(path.join(directory, 'index.json')))) await updateIndex(directory, list => [...list]);
      // Last: a directory without this file is not a layout yet.
      const file = path.join(directory, 'oci-layout');
      if (!(await exists(file))) await writeFileAtomic(file, LAYOUT_FILE);
    } catch (error) {
      throw storageError(error, directory);
    }
    return LayoutStore.open(directory);
  }

  /** Where a blob is, or would be. */
  blobPath(digest: Digest): AbsPath {
    return joinInside(this.directory, path.join('blobs', 'sha256', digestHex(digest)));
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    return (await sizeOf(this.blobPath(descriptor.digest))) === descriptor.size;
  }

  readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    return readBlobFile({ store: this.name, file: this.blobPath(descriptor.digest), descriptor }, options);
  }

  async putBlob(
    descriptor: Descriptor,
    source: () => AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<void> {
    if (await this.hasBlob(descriptor)) return;
    await using temporary = await this.makeTemp();
    const file = joinInside(temporary.path, 'blob');
    try {
      const handle = await open(file, 'wx');
      try {
        const digester = options.verified === true ? undefined : new Digester();
        const sizeBytes = await writeChunks(handle, digester ? hashed(source(), digester) : source(), {
          maxBytes: descriptor.size,
          signal: options.signal,
          onWritten: options.onProgress,
        });
        assertBytes(this.name, descriptor, sizeBytes, digester?.finish());
        await handle.sync();
      } finally {
        await handle.close();
      }
      await publishFile(file, this.blobPath(descriptor.digest));
    } catch (error) {
      throw storageError(error, this.directory);
    }
  }

  /**
   * Takes over a finished file of this filesystem, whose digest the caller computed from its bytes, as a blob.
   * The file is synced and renamed; it no longer exists under its old name.
   */
  async adoptBlob(file: AbsPath, descriptor: Pick<Descriptor, 'digest' | 'size'>): Promise<void> {
    if ((await sizeOf(this.blobPath(descriptor.digest))) === descriptor.size) {
      await rm(file);
      return;
    }
    const handle = await open(file, 'r');
    try {
      await handle.chmod(0o644);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await publishFile(file, this.blobPath(descriptor.digest));
  }

  /** A temporary directory inside the layout, locked by this process for as long as it is in use. */
  async makeTemp(): Promise<AsyncDisposable & { readonly path: AbsPath }> {
    const lock = await makeLockedDir(this.directory, TEMP_PREFIX);
    return {
      path: lock.path,
      async [Symbol.asyncDispose]() {
        await rm(lock.path, { recursive: true, force: true, maxRetries: 3 });
        await lock[Symbol.asyncDispose]();
      },
    };
  }

  /** Held shared by whoever adds blobs that nothing names yet, exclusively by garbage collection. */
  lockBlobs(mode: 'shared' | 'exclusive', options: { signal?: AbortSignal; onWait?: () => void } = {}): Promise<FileLock> {
    return lockFile(joinInside(this.directory, 'blobs'), mode, options);
  }

  async resolve(reference: string): Promise<Descriptor | undefined> {
    const { manifests } = await readIndex(this.directory);
    if (!isDigest(reference)) return manifests.find(entry => tagOf(entry) === reference);
    const named = manifests.find(entry => entry.digest === reference);
    if (named) return named;
    return this.describeManifest(reference);
  }

  /**
   * Descriptor of a manifest that the index need not name; `undefined` where nothing lies, or more than a manifest can be.
   * Throws `invalid-input` for anything else.
   */
  async describeManifest(digest: Digest): Promise<Descriptor | undefined> {
    const size = await sizeOf(this.blobPath(digest));
    if (size === undefined || size > MAX_MANIFEST_BYTES) return undefined;
    const { mediaType } = parseManifest(await readSmallFile(this.blobPath(digest), MAX_MANIFEST_BYTES), digest);
    return { mediaType, digest, size };
  }

  async readManifest(reference: string, options: CallOptions = {}): Promise<ManifestBytes> {
    const descriptor = await this.resolve(reference);
    if (!descriptor) throw await this.#noSuch(reference);
    return { descriptor, bytes: await this.manifestBytes(descriptor, options) };
  }

  /** The bytes of a manifest or index, verified. Throws as `readManifest` does. */
  async manifestBytes(descriptor: Descriptor, options: CallOptions = {}): Promise<Buffer> {
    const { digest, mediaType, size } = descriptor;
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) {
      throw new StkError('unsupported', `${this.name}: ${digest} is no image but ${mediaType}`);
    }
    if (size > MAX_MANIFEST_BYTES) {
      throw new StkError('invalid-input', `${this.name}: manifest ${digest} is ${size} bytes long`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.readBlob(descriptor, options)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async #noSuch(reference: string): Promise<StkError> {
    const tags = (await this.tags()).filter(tag => !isAttachmentTag(tag));
    return new StkError('not-found', `${this.name} has no image ${reference}`, {
      hint: tags.length === 0 ? 'the layout is empty' : `it has: ${tags.slice(0, 20).join(', ')}`,
      facts: { reference },
    });
  }

  async putManifest(manifest: ManifestBytes, tag?: string, options: PutManifestOptions = {}): Promise<void> {
    if (digestOf(manifest.bytes) !== manifest.descriptor.digest) {
      throw new StkError('integrity', `manifest does not match its digest ${manifest.descriptor.digest}`);
    }
    await this.putBlob(manifest.descriptor, () => toIterable(manifest.bytes), options);
    if (tag !== undefined) await this.#moveTag(manifest.descriptor, tag, options);
    else if (options.named !== true) {
      await updateIndex(this.directory, list => withUntagged(list, manifest.descriptor), options.signal);
    }
  }

  /** Points a tag to a manifest that is in the layout. Does nothing, and takes no lock, if it does already. */
  async tag(descriptor: Descriptor, tag: string, signal?: AbortSignal): Promise<void> {
    await this.#moveTag(descriptor, tag, { signal });
  }

  async #moveTag(
    descriptor: Descriptor,
    tag: string,
    { expected, signal }: { readonly expected?: PutManifestOptions['expected']; readonly signal?: AbortSignal | undefined },
  ): Promise<void> {
    const { manifests } = await readIndex(this.directory);
    if (!expected && withTag(manifests, tag, descriptor) === manifests) return;
    await updateIndex(
      this.directory,
      list => {
        const found = list.find(entry => tagOf(entry) === tag)?.digest;
        if (expected) assertTagUnmoved(this.name, tag, expected.digest, found);
        return withTag(list, tag, descriptor);
      },
      signal,
    );
  }

  /** Lists these tags in this order, in the places that they hold; others stay where they are. */
  async orderTags(tags: readonly string[], signal?: AbortSignal): Promise<void> {
    const { manifests } = await readIndex(this.directory);
    if (withOrder(manifests, tags) === manifests) return;
    await updateIndex(this.directory, list => withOrder(list, tags), signal);
  }

  async untag(tag: string, signal?: AbortSignal): Promise<void> {
    await updateIndex(this.directory, list => withoutTag(list, tag), signal);
  }

  async tags(): Promise<readonly string[]> {
    const { manifests } = await readIndex(this.directory);
    return manifests.flatMap(entry => tagOf(entry) ?? []);
  }

  async referrers(digest: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
    const found: Descriptor[] = [];
    for (const entry of (await readIndex(this.directory)).manifests) {
      if (!isManifestType(entry.mediaType)) continue;
      const manifest = await this.#intactManifest(entry);
      if (!manifest) continue;
      const type = manifest.artifactType ?? manifest.config.mediaType;
      if (manifest.subject?.digest !== digest || (artifactType !== undefined && type !== artifactType)) continue;
      found.push({ ...entry, ...(type === undefined ? {} : { artifactType: type }) });
    }
    return found;
  }

  /** `undefined` for one that is damaged or gone. */
  async #intactManifest(entry: Descriptor): Promise<Manifest | undefined> {
    try {
      const { manifest } = parseManifest(await this.manifestBytes(entry), entry.digest);
      return 'layers' in manifest ? manifest : undefined;
    } catch (error) {
      if (isUnusable(error)) return undefined;
      throw error;
    }
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  const found = await stat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  return found?.isFile() ? found.size : undefined;
}

async function exists(file: string): Promise<boolean> {
  return (await sizeOf(file)) !== undefined;
}

async function* toIterable(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** Whether a store is a layout directory, with all that only those can do. */
export function isLayout(store: BlobStore): store is LayoutStore {
  return store.place.kind === 'oci';
}
