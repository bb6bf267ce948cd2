import { Digester, digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { MAX_MANIFEST_BYTES } from './blob-store.ts';
import type { BlobStore, CallOptions, ManifestBytes } from './blob-store.ts';
import type { PutManifestOptions, PutOptions, ReadOptions } from './blob-store.ts';
import type { Descriptor } from './descriptor.ts';
import { isManifestType } from './media-types.ts';
import { parseManifest } from './parse-manifest.ts';
import { assertTagUnmoved } from './tag-unmoved.ts';

/** A store in memory, for small artifacts on their way elsewhere and for tests. Holds what it is given until dropped. */
export class MemoryStore implements BlobStore {
  readonly name: string;
  readonly place = { kind: 'memory' } as const;
  readonly #blobs = new Map<Digest, Uint8Array>();
  readonly #manifests = new Map<Digest, ManifestBytes>();
  readonly #tags = new Map<string, Digest>();

  constructor(name = 'memory') {
    this.name = name;
  }

  async hasBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<boolean> {
    throwIfAborted(options.signal);
    return this.#blobs.get(descriptor.digest)?.byteLength === descriptor.size;
  }

  async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    throwIfAborted(options.signal);
    const bytes = this.#blobs.get(descriptor.digest);
    if (!bytes) throw new StkError('not-found', `${this.name} has no blob ${descriptor.digest}`);
    if (bytes.byteLength !== descriptor.size) throw mismatch(this.name, descriptor);
    yield Buffer.from(bytes);
    options.onProgress?.(bytes.byteLength);
  }

  async putBlob(
    descriptor: Descriptor,
    source: () => AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<void> {
    if (await this.hasBlob(descriptor, options)) return;
    const digester = new Digester();
    const chunks: Uint8Array[] = [];
    for await (const chunk of source()) {
      throwIfAborted(options.signal);
      digester.update(chunk);
      if (digester.sizeBytes > descriptor.size) throw mismatch(this.name, descriptor);
      chunks.push(Buffer.from(chunk));
      options.onProgress?.(digester.sizeBytes);
    }
    const { sizeBytes } = digester;
    if (sizeBytes !== descriptor.size || digester.finish() !== descriptor.digest) throw mismatch(this.name, descriptor);
    this.#blobs.set(descriptor.digest, Buffer.concat(chunks, sizeBytes));
  }

  async resolve(reference: string, options: CallOptions = {}): Promise<Descriptor | undefined> {
    throwIfAborted(options.signal);
    const digest = isDigest(reference) ? reference : this.#tags.get(reference);
    return digest === undefined ? undefined : this.#manifests.get(digest)?.descriptor;
  }

  async readManifest(reference: string, options: CallOptions = {}): Promise<ManifestBytes> {
    const descriptor = await this.resolve(reference, options);
    const found = descriptor && this.#manifests.get(descriptor.digest);
    if (!found) throw new StkError('not-found', `${this.name} has no image ${reference}`, { facts: { reference } });
    return { descriptor: found.descriptor, bytes: Buffer.from(found.bytes) };
  }

  async putManifest(manifest: ManifestBytes, tag?: string, options: PutManifestOptions = {}): Promise<void> {
    throwIfAborted(options.signal);
    const { descriptor, bytes } = manifest;
    if (bytes.byteLength > MAX_MANIFEST_BYTES) {
      throw new StkError('invalid-input', `manifest ${descriptor.digest} is ${bytes.byteLength} bytes long`);
    }
    if (bytes.byteLength !== descriptor.size || digestOf(bytes) !== descriptor.digest) {
      throw mismatch(this.name, descriptor);
    }
    const { mediaType, digest, size } = descriptor;
    if (tag !== undefined && options.expected) {
      assertTagUnmoved(this.name, tag, options.expected.digest, this.#tags.get(tag));
    }
    this.#manifests.set(digest, { descriptor: { mediaType, digest, size }, bytes: Buffer.from(bytes) });
    if (tag !== undefined) this.#tags.set(tag, digest);
  }

  async tags(options: CallOptions = {}): Promise<readonly string[]> {
    throwIfAborted(options.signal);
    return [...this.#tags.keys()].sort();
  }

  async referrers(digest: Digest, artifactType?: string, options: CallOptions = {}): Promise<readonly Descriptor[]> {
    throwIfAborted(options.signal);
    const found: Descriptor[] = [];
    for (const { descriptor, bytes } of this.#manifests.values()) {
      if (!isManifestType(descriptor.mediaType)) continue;
      const { manifest } = parseManifest(bytes, descriptor.digest);
      if (manifest.subject?.digest !== digest) continue;
      const type = manifest.artifactType ?? ('config' in manifest ? manifest.config.mediaType : undefined);
      if (artifactType !== undefined && type !== artifactType) continue;
      const { annotations } = manifest;
      found.push({ ...descriptor, ...(type === undefined ? {} : { artifactType: type }), ...(annotations ? { annotations } : {}) });
    }
    return found;
  }
}

function mismatch(name: string, descriptor: Descriptor): StkError {
  return new StkError('integrity', `${name}: bytes do not match ${descriptor.digest} of ${descriptor.size} bytes`, {
    facts: { digest: descriptor.digest, sizeBytes: descriptor.size },
  });
}
