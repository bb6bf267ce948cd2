import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Platform } from '../oci/descriptor.ts';
import { APPLY_LIST, parseAppliedEntries, type AppliedEntry } from '../oci/layer-annotations.ts';
import { formatImageName, parseImageName, type ImageName, type StoredName } from '../oci/image-name.ts';
import { baseName, entryName, inStoreOf, placeOf, whereIsBase } from './part-places.ts';
import { heldImage } from './held-image.ts';
import { partOnBase } from './part-on-base.ts';
import { squashfsImage, type OpenConverter } from './squashfs-parts.ts';
import type { StoredImage, UpdateParts } from './update-plan.ts';
import { resolveImage } from '../oci/resolve-image.ts';
import { namedBase } from '../sources/bases.ts';
import { imageReference } from '../stores/find-image.ts';
import type { ImageStores, OpenedName } from '../stores/image-stores.ts';
import { Remembered } from '../core/remembered.ts';

/** What is to be swapped in every image that an update goes through. */
export interface WantedParts {
  /** Names of entries with where the new version is; `undefined`: where the entry says. `all`: every entry. */
  readonly applied: ReadonlyMap<string, string | undefined> | 'all';
  /** `stay`, or where the new base is; `undefined`: where the image's annotation says. */
  readonly base: { readonly ref: string | undefined } | 'stay';
  /** Instead of both, for images that do not say what they are made of. */
  readonly foreign?: ForeignSwap | undefined;
}

/** What is swapped in an image by layers that were found in it, whatever it says of itself. */
export type ForeignSwap =
  | {
      readonly kind: 'rebase';
      /** `undefined`: what the image's annotations name. */
      readonly oldBase: string | undefined;
      readonly newBase: string | undefined;
    }
  /** Nothing is swapped: the image learns what its layers are. */
  | {
      readonly kind: 'adopt';
      readonly base: string | undefined;
      readonly applied: readonly { readonly name: string; readonly ref: string }[];
    }
  | { readonly kind: 'replace'; readonly layers: readonly { readonly old: string; readonly ref: string }[] };

export interface PartsPorts {
  readonly stores: ImageStores;
  readonly tlsVerify: boolean;
  /** Throws unless what is put in meets the demands; returns the digest that was checked, if there are any. */
  readonly check: (image: OpenedName & { readonly reference: string }) => Promise<Digest | undefined>;
  /** Opens what turns tar layers of new parts into squashfs; called for the first that has some. */
  readonly converter: () => Promise<OpenConverter>;
  /** Owns what is opened. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** Images that are looked for side by side. */
const PARALLEL = 8;

/** The entries of an image; none where it applies nothing. Throws `invalid-input` for an annotation that is malformed. */
export function appliedEntries(image: Pick<StoredImage, 'manifest' | 'name'>): readonly AppliedEntry[] {
  const text = image.manifest.annotations?.[APPLY_LIST];
  const entries = text === undefined ? [] : parseAppliedEntries(text);
  if (entries) return entries;
  throw new StkError('invalid-input', `${image.name}: annotation ${APPLY_LIST} is malformed`);
}

/** Finds the images that the next version of an image is made of. Remembers them from one image to the next. */
export class PartsFinder {
  readonly #ports: PartsPorts;
  readonly #found = new Remembered<string, StoredImage>();
  readonly #stores = new Remembered<string, BlobStore>();
  readonly #applied = new Remembered<string, StoredImage | undefined>();

  constructor(ports: PartsPorts) {
    this.#ports = ports;
  }

  /**
   * On another base, entries that are not named go along, as `partOnBase` says. Throws `not-found` for images that are gone
   * and names that the image does not apply.
   * @param work the image as squashfs
   */
  async find(image: StoredImage, wanted: WantedParts, work: StoredImage = image): Promise<UpdateParts> {
    const entries = appliedEntries(work);
    if (wanted.applied !== 'all') {
      for (const name of wanted.applied.keys()) {
        if (!entries.some(entry => entry.name === name)) throw notApplied(image, name, entries);
      }
    }
    const base = wanted.base === 'stay' ? undefined : await this.#base(image, wanted.base.ref);
    const applied = await mapLimited(
      entries,
      PARALLEL,
      async entry => {
        const swap = wanted.applied === 'all' || wanted.applied.has(entry.name);
        const ref = wanted.applied === 'all' ? undefined : wanted.applied.get(entry.name);
        if (swap) return this.#next(image, entry, ref);
        const same = () => this.#same(image, entry, work);
        return base
          ? partOnBase(entry, base, { same, next: () => this.#next(image, entry, undefined) })
          : { entry, image: await same() };
      },
      this.#ports.signal,
    );
    return { base, applied };
  }

  /** What a name stands for now, checked and as squashfs. Throws as `find` does. */
  async named(image: StoredImage, ref: string, why: string): Promise<StoredImage> {
    return this.#image(inStoreOf(image.store, parseImageName(ref)), ref, image.config, why);
  }

  /** As `named`, of an image that is only compared: unchecked, its layers as they lie. */
  async lookedAt(image: StoredImage, ref: string, digest?: Digest): Promise<StoredImage> {
    const { stores, tlsVerify, scope, signal } = this.#ports;
    const opened = await stores.open(inStoreOf(image.store, parseImageName(ref)), { tlsVerify }, scope);
    const found = await resolveImage(opened.store, digest ?? imageReference(opened), image.config, { signal });
    return { ...found, store: opened.store, name: ref };
  }

  /** The base that annotations name: where it is, and which it was. Throws `usage` where they do not say. */
  async namedBaseOf(image: StoredImage): Promise<{ readonly ref: string; readonly digest: Digest | undefined }> {
    const { name, digest } = namedBase(image.manifest.annotations) ?? { name: undefined, digest: undefined };
    const at = name === undefined ? undefined : await whereIsBase(image.store, name);
    if (at === undefined) {
      throw new StkError('usage', `${image.name} does not say which base it stands on, or not where that is`, {
        hint: 'name both: --old-base REF --new-base REF',
      });
    }
    return { ref: formatImageName(at), digest };
  }

  async #next(
    image: StoredImage,
    entry: AppliedEntry,
    given: string | undefined,
  ): Promise<UpdateParts['applied'][number]> {
    const ref = given ?? entry.ref;
    const name = given === undefined ? entryName(ref) : parseImageName(given);
    const at = inStoreOf(image.store, name);
    if (at.kind === 'tag' && given === undefined) {
      throw new StkError('usage', `${image.name} applies ${entry.name}, which was built together with it`, {
        hint: `say where its new version is: --apply ${entry.name}=docker://HOST/REPOSITORY:TAG`,
      });
    }
    const found = await this.#image(at, ref, image.config, `${image.name} applies ${entry.name}`);
    const written = name.kind === 'tag' ? entry.ref : formatImageName(name);
    return {
      image: { ...found, name: `${entry.name} (${ref})` },
      entry: { ...entry, ref: given === undefined ? entry.ref : written, digest: found.descriptor.digest },
    };
  }

  /** The very image that was applied. */
  async #same(image: StoredImage, entry: AppliedEntry, work: StoredImage): Promise<StoredImage> {
    const found =
      heldImage(work, entry) ??
      (await this.#byDigest(image.store, entry.digest, image.config)) ??
      (await this.#sameElsewhere(image, entry));
    if (found) return { ...found, name: entry.name };
    throw new StkError('not-found', `${image.name} applies ${entry.name} as ${entry.digest}, which is gone`, {
      hint: `it was ${entry.ref}; take what is there now: --apply ${entry.name}, or --apply ${entry.name}=REF`,
      facts: { digest: entry.digest, reference: entry.ref },
    });
  }

  /** Where the reference says; images of one repository share the answer. */
  async #sameElsewhere(image: StoredImage, { ref, digest }: AppliedEntry): Promise<StoredImage | undefined> {
    const place = placeOf(image.store, ref);
    if (place === undefined) return undefined;
    const key = JSON.stringify([place, digest, image.config.os, image.config.architecture, image.config.variant]);
    return this.#applied.get(key, () => this.#byDigest(place, digest, image.config));
  }

  /** @param place a store, or where it is */
  async #byDigest(place: BlobStore | StoredName, digest: Digest, platform: Platform): Promise<StoredImage | undefined> {
    try {
      const store = 'readBlob' in place ? place : await this.#store(place);
      const { converter, signal } = this.#ports;
      const found = await resolveImage(store, digest, platform, { signal });
      return await squashfsImage({ ...found, store, name: digest }, converter, signal);
    } catch (error) {
      if (isStkError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  /** Opened once, so that one login and one lock serve all images. */
  async #store(place: StoredName): Promise<BlobStore> {
    const { stores, tlsVerify, scope } = this.#ports;
    const open = async () => (await stores.open(place, { tlsVerify }, scope)).store;
    return this.#stores.get(formatImageName(place), open);
  }

  async #base(image: StoredImage, given: string | undefined): Promise<StoredImage> {
    const named = namedBase(image.manifest.annotations)?.name;
    const at =
      given === undefined
        ? named === undefined
          ? undefined
          : await whereIsBase(image.store, named)
        : parseImageName(given);
    if (at === undefined) {
      throw new StkError('usage', `${image.name} does not say where its base ${named ?? ''} is`, {
        hint: 'say where the new base is: --base REF',
      });
    }
    const ref = given ?? formatImageName(at);
    const found = await this.#image(at, ref, image.config, `${image.name} stands on ${named ?? ref}`);
    return { ...found, name: given === undefined ? (named ?? ref) : baseName(given) };
  }

  #image(at: ImageName, ref: string, { os, architecture, variant }: Platform, why: string): Promise<StoredImage> {
    const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
    return this.#found.get(JSON.stringify([at, platform]), () => this.#open({ at, ref, why }, platform));
  }

  async #open(
    { at, ref, why }: { readonly at: ImageName; readonly ref: string; readonly why: string },
    platform: Platform,
  ): Promise<StoredImage> {
    const { stores, tlsVerify, check, converter, scope, signal } = this.#ports;
    try {
      const opened = await stores.open(at, { tlsVerify }, scope);
      const reference = imageReference(opened);
      const { store } = opened;
      const checked = await check({ ...opened, reference });
      const found = await resolveImage(store, checked ?? reference, platform, { signal });
      return await squashfsImage({ ...found, store, name: ref }, converter, signal);
    } catch (error) {
      if (!isStkError(error, 'not-found')) throw error;
      throw new StkError('not-found', `${why}, and there is no ${ref}`, {
        cause: error,
        hint: error.hint ?? 'name where it is now: --apply NAME=REF or --base REF',
        facts: { ...error.facts, reference: ref },
      });
    }
  }
}

function notApplied(image: StoredImage, name: string, entries: readonly AppliedEntry[]): StkError {
  const names = entries.map(entry => entry.name);
  return new StkError('not-found', `${image.name} does not apply ${name}`, {
    hint: names.length === 0 ? 'it applies nothing' : `it applies: ${names.join(', ')}`,
    facts: { image: image.name, name },
  });
}
