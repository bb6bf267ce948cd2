import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor } from './descriptor.ts';
import type { StorePlace } from './store-place.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How long a server is tried that does not answer, where there are other ways; default is the user's patience. */
  readonly patienceMs?: number;
}

export interface RangeOptions extends CallOptions {
  /** Throws `integrity` where bytes are wrong: a store that has them from several places then asks the next. */
  readonly check?: (bytes: Buffer) => void;
}

export interface ReadOptions extends CallOptions {
  /** Called with the count of bytes delivered so far. */
  readonly onProgress?: (doneBytes: number) => void;
}

export interface PutOptions extends CallOptions {
  readonly onProgress?: (doneBytes: number) => void;
  /** The source is a store's `readBlob`, which ends with `integrity` unless its bytes are right: hashing once is enough. */
  readonly verified?: boolean;
  /** `place` of another store that is known to hold the blob; a store may take it from there instead of the bytes. */
  readonly mountFrom?: StorePlace;
}

export interface PutManifestOptions extends CallOptions {
  /** Something that names this manifest follows, such as an index: a layout need not list it itself. */
  readonly named?: boolean;
  /**
   * What the tag must stand for until now, `undefined` for nothing: `conflict` where it stands for something else, and then
   * it stays. A layout looks and moves under one lock; a registry has no such thing, so a moment remains in between.
   */
  readonly expected?: { readonly digest: Digest | undefined };
}

export interface ReferrersOptions extends CallOptions {
  /** The caller looks at so many only: a store need not find more, and may end a list that is too long for it. */
  readonly limit?: number;
}

/** A stored manifest or index: its raw bytes are what the digest covers. */
export interface ManifestBytes {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/**
 * Where images are kept: a layout directory, memory, a repository of a registry. All pass one contract test.
 *
 * Whatever a store returns has been verified: a stream whose bytes do not hash to the digest, or whose length differs
 * from the descriptor's size, ends with `integrity`. A missing blob or tag is `not-found` when read, `false` or
 * `undefined` when asked about.
 */
export interface BlobStore {
  /** For messages: `oci:dir` or `docker://host/repo`. */
  readonly name: string;
  /** What the store is, and where. */
  readonly place: StorePlace;

  /** The file of this host that holds a blob, or would; only where blobs are files. */
  blobPath?(digest: Digest): AbsPath;
  hasBlob(descriptor: Descriptor, options?: CallOptions): Promise<boolean>;
  /** Streams a blob. The consumer must drain it or `return()` the iterator. */
  readBlob(descriptor: Descriptor, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /**
   * Stores a blob under its digest. The source is a function, so that a store may restart it after a dropped connection;
   * it is not called if the blob is already there. Bytes that do not match the descriptor are `integrity` and leave nothing.
   */
  putBlob(descriptor: Descriptor, source: () => AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void>;

  /** Descriptor of a tag or digest, from the store's own knowledge; `undefined` if there is none. */
  resolve(reference: string, options?: CallOptions): Promise<Descriptor | undefined>;
  /** A manifest or index by tag or digest, at most 4 MiB (distribution-spec, "Pulling manifests"). */
  readManifest(reference: string, options?: CallOptions): Promise<ManifestBytes>;
  /** Stores a manifest or index; with a tag, the tag moves to it, atomically and last. Everything it names must be there. */
  putManifest(manifest: ManifestBytes, tag?: string, options?: PutManifestOptions): Promise<void>;
  tags(options?: CallOptions): Promise<readonly string[]>;
  /** Descriptors of the manifests whose `subject` is this digest. */
  referrers(digest: Digest, artifactType?: string, options?: ReferrersOptions): Promise<readonly Descriptor[]>;
}

/** Largest manifest or index that is read (distribution-spec says a registry should accept at least 4 MiB). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
