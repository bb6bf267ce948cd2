import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { isStkError } from '../core/errors.ts';
import { Remembered } from '../core/remembered.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { formatImageName, parseImageName, referenceOf, type ImageName } from '../oci/image-name.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import { entryName, inStoreOf, whereIsBase } from '../update/part-places.ts';
import type { DocumentMemory } from './document-memory.ts';
import { newerTags } from './tag-order.ts';

/** What a reference stands for now. */
export interface PartNow {
  /** `undefined`: nothing says where it is. */
  readonly ref: string | undefined;
  /** Of the manifest or index; `undefined`: there is none. */
  readonly digest: Digest | undefined;
  /** Manifests that an image may hold and be current: the one, or those of the index. */
  readonly accepted: ReadonlySet<Digest>;
  /** Newer versions among the tags beside it. */
  readonly newer: readonly string[];
}

export interface PartsPorts {
  readonly stores: ImageStores;
  readonly memory: DocumentMemory;
  /** Where new versions of entries are, whatever images say. */
  readonly given: ReadonlyMap<string, string | undefined>;
  /** Whether tags are looked at, which costs a request for each repository of a part. */
  readonly countVersions: boolean;
  readonly tlsVerify: boolean;
  /** Owns what is opened. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

const NOWHERE: PartNow = { ref: undefined, digest: undefined, accepted: new Set(), newer: [] };

/** Bases and applied images as they are now; each is asked for once, however many images have it. */
export class PartsNow {
  readonly #ports: PartsPorts;
  readonly #known = new Remembered<string, PartNow>();
  readonly #places = new Remembered<string, ImageName | undefined>();
  readonly #tags = new Remembered<string, readonly string[]>();

  constructor(ports: PartsPorts) {
    this.#ports = ports;
  }

  /** @param name what an annotation calls the base */
  async ofBase(store: BlobStore, name: string): Promise<PartNow> {
    const at = await this.#places.get(`${store.name} ${name}`, () => whereIsBase(store, name));
    return at === undefined ? NOWHERE : this.#at(at);
  }

  async ofEntry(store: BlobStore, name: string, ref: string): Promise<PartNow> {
    const given = this.#ports.given.get(name);
    const at = inStoreOf(store, given === undefined ? entryName(ref) : parseImageName(given));
    return at.kind === 'tag' ? NOWHERE : this.#at(at);
  }

  #at(at: ImageName): Promise<PartNow> {
    const ref = formatImageName(at);
    return this.#known.get(ref, () => this.#look(at, ref));
  }

  async #look(at: ImageName, ref: string): Promise<PartNow> {
    const { stores, memory, tlsVerify, scope, signal, countVersions } = this.#ports;
    const reference = referenceOf(at);
    if (reference === undefined) return NOWHERE;
    const { store } = await stores.open(at, { tlsVerify }, scope);
    const newer =
      countVersions && at.tag !== undefined && at.digest === undefined
        ? newerTags(at.tag, await this.#tags.get(store.name, () => store.tags({ signal })))
        : [];
    try {
      const { descriptor, parsed } = await memory.read(store, reference, ref, signal);
      const { digest } = descriptor;
      const within = parsed.kind === 'index' ? parsed.manifest.manifests.map(entry => entry.digest) : [];
      return { ref, digest, accepted: new Set([digest, ...within]), newer };
    } catch (error) {
      if (!isStkError(error, 'not-found')) throw error;
      return { ref, digest: undefined, accepted: new Set(), newer };
    }
  }
}
