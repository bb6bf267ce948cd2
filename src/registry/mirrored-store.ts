import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError, messageOf } from '../core/errors.ts';
import { openDigester, type StreamDigester } from '../host/thread-digester.ts';
import type {
  BlobStore,
  CallOptions,
  ManifestBytes,
  PutManifestOptions,
  PutOptions,
  RangeOptions,
  ReadOptions,
  ReferrersOptions,
} from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { StorePlace } from '../oci/store-place.ts';
import type { Endpoint } from './registries-conf.ts';

/** A store that can read parts of blobs; see `RegistryStore.readBlobRange`. */
export interface RangedStore extends BlobStore {
  readBlobRange(descriptor: Descriptor, offset: number, length: number, options?: RangeOptions): Promise<Buffer>;
}

/** A store to read from, and what it may be asked for. */
export interface Mirror {
  readonly store: RangedStore;
  readonly pull: Endpoint['pull'];
}

/**
 * A repository with mirrors: reading goes to the first that answers rightly, the registry itself last; writing goes to
 * the registry alone. What one read came from is asked first for the next. A mirror may be behind the registry: what decides
 * about something to be written is not to be read through this.
 */
export class MirroredStore implements RangedStore {
  readonly name: string;
  readonly place: StorePlace;
  readonly #primary: BlobStore;
  readonly #sources: readonly Mirror[];
  readonly #onFallback: (text: string) => void;
  #preferred = 0;

  /** @param onFallback hears why a mirror was passed over */
  constructor(primary: BlobStore, sources: readonly Mirror[], onFallback: (text: string) => void = () => {}) {
    this.name = primary.name;
    this.place = primary.place;
    this.#primary = primary;
    this.#sources = sources;
    this.#onFallback = onFallback;
  }

  async hasBlob(descriptor: Descriptor, options?: CallOptions): Promise<boolean> {
    return this.#first(
      descriptor.digest,
      store => store.hasBlob(descriptor, options),
      options,
      found => found,
    );
  }

  /** After a failure goes on with the next source from the byte that was reached. */
  async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    const sources = this.#ordered(descriptor.digest);
    // Each source verifies what it sent; nobody else verifies what was put together from several.
    const digester = sources.length > 1 ? openDigester(descriptor.size) : undefined;
    try {
      yield* this.#readInTurn(descriptor, sources, digester, options);
    } finally {
      digester?.abandon();
    }
  }

  async *#readInTurn(
    descriptor: Descriptor,
    sources: readonly Mirror[],
    digester: StreamDigester | undefined,
    options: ReadOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const failures: unknown[] = [];
    let doneBytes = 0;
    for (const source of sources) {
      let skipBytes = doneBytes;
      try {
        const call = options.signal ? { signal: options.signal } : {};
        for await (const chunk of source.store.readBlob(descriptor, call)) {
          const fresh = chunk.subarray(Math.min(skipBytes, chunk.byteLength));
          skipBytes -= chunk.byteLength - fresh.byteLength;
          if (fresh.byteLength === 0) continue;
          const wait = digester?.update(fresh);
          if (wait) await wait;
          doneBytes += fresh.byteLength;
          yield fresh;
          options.onProgress?.(doneBytes);
        }
        this.#prefer(source);
        break;
      } catch (error) {
        if (!isPassable(error, options.signal)) throw error;
        failures.push(error);
        this.#onFallback(`${source.store.name}: ${messageOf(error)}`);
        if (failures.length < sources.length) continue;
        // Wrong bytes say more than missing ones.
        throw failures.find(failure => isStkError(failure, 'integrity')) ?? error;
      }
    }
    if (failures.length > 0 && (await digester?.finish()) !== descriptor.digest) {
      throw new StkError('integrity', `${this.name}: bytes received do not match blob ${descriptor.digest}`, {
        facts: { digest: descriptor.digest },
      });
    }
  }

  /** Not verified beyond the caller's `check`, as from any registry. */
  async readBlobRange(descriptor: Descriptor, offset: number, length: number, options?: RangeOptions): Promise<Buffer> {
    const read = async (store: RangedStore) => {
      const bytes = await store.readBlobRange(descriptor, offset, length, options);
      options?.check?.(bytes);
      return bytes;
    };
    return this.#first(descriptor.digest, read, options);
  }

  async putBlob(descriptor: Descriptor, source: () => AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void> {
    await this.#primary.putBlob(descriptor, source, options);
  }

  async resolve(reference: string, options?: CallOptions): Promise<Descriptor | undefined> {
    return this.#first(
      reference,
      store => store.resolve(reference, options),
      options,
      found => found !== undefined,
    );
  }

  async readManifest(reference: string, options?: CallOptions): Promise<ManifestBytes> {
    return this.#first(reference, store => store.readManifest(reference, options), options);
  }

  async putManifest(manifest: ManifestBytes, tag?: string, options?: PutManifestOptions): Promise<void> {
    await this.#primary.putManifest(manifest, tag, options);
  }

  async tags(options?: CallOptions): Promise<readonly string[]> {
    return this.#primary.tags(options);
  }

  async referrers(digest: Digest, artifactType?: string, options?: ReferrersOptions): Promise<readonly Descriptor[]> {
    return this.#first(
      digest,
      store => store.referrers(digest, artifactType, options),
      options,
      list => list.length > 0,
    );
  }

  /** The first answer that is good enough; the last one if none is; the first failure if there is none. */
  async #first<T>(
    reference: string,
    ask: (store: RangedStore) => Promise<T>,
    options: CallOptions | undefined,
    isEnough: (answer: T) => boolean = () => true,
  ): Promise<T> {
    let answer: { readonly value: T } | undefined;
    let failure: { readonly error: unknown } | undefined;
    for (const source of this.#ordered(reference)) {
      try {
        const value = await ask(source.store);
        answer = { value };
        if (!isEnough(value)) continue;
        this.#prefer(source);
        return value;
      } catch (error) {
        if (!isPassable(error, options?.signal)) throw error;
        // What the registry itself says is what the user has asked about.
        failure = { error };
        this.#onFallback(`${source.store.name}: ${messageOf(error)}`);
      }
    }
    if (answer) return answer.value;
    throw failure?.error ?? new StkError('not-found', `${this.name} has no ${reference}`);
  }

  #ordered(reference: string): readonly Mirror[] {
    const wanted = isDigest(reference) ? 'tag-only' : 'digest-only';
    const preferred = this.#sources[this.#preferred];
    const rest = this.#sources.filter(source => source !== preferred);
    return [...(preferred ? [preferred] : []), ...rest].filter(source => source.pull !== wanted);
  }

  #prefer(source: Mirror): void {
    this.#preferred = this.#sources.indexOf(source);
  }
}

/** Whether another source may do better. */
function isPassable(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted) return false;
  return isStkError(error, 'network', 'registry', 'not-found', 'unauthorized', 'integrity', 'unsupported');
}
