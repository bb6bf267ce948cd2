import { digestOf, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import type {
  BlobStore,
  CallOptions,
  ManifestBytes,
  PutManifestOptions,
  PutOptions,
  ReadOptions,
  ReferrersOptions,
} from '../oci/blob-store.ts';
import type { Descriptor, Index } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { isTag, type RepositoryName } from '../oci/reference.ts';
import { isSameRegistry, type RegistryPlace, type StorePlace } from '../oci/store-place.ts';
import { isTransientStatus } from '../host/http-retry.ts';
import { isUnreachable } from '../host/transport-error.ts';
import { assertTagUnmoved } from '../oci/tag-unmoved.ts';
import type { BlobPlaces } from './blob-places.ts';
import { BlobRanges } from './blob-ranges.ts';
import { downloadBlob } from './download.ts';
import { listReferrers, listRepositories, listTags, referrersTag } from './listing.ts';
import { COURTESY_MS, nameOf, putManifest, readManifest, resolveManifest } from './manifests.ts';
import { refusal } from './refusal.ts';
import { RegistrySession, type SessionOptions } from './session.ts';
import { uploadBlob, type Presence } from './upload.ts';

export interface RegistryStoreOptions extends SessionOptions {
  readonly repository: RepositoryName;
  /** Largest body of one upload request; default: no limit. */
  readonly chunkBytes?: number;
  /** Where blobs of this registry are, shared by its repositories; not owned. */
  readonly places?: BlobPlaces | undefined;
}

/** One repository of a registry (distribution-spec 1.1). Cheap to make; does not talk before it is asked to. */
export class RegistryStore implements BlobStore {
  readonly name: string;
  readonly place: RegistryPlace;
  readonly #session: RegistrySession;
  readonly #ranges: BlobRanges;
  readonly #chunkBytes: number | undefined;
  readonly #places: BlobPlaces | undefined;

  constructor(options: RegistryStoreOptions) {
    const { host, repository } = options;
    this.name = `docker://${host}/${repository}`;
    this.place = { kind: 'docker', host, repository };
    this.#session = new RegistrySession(options);
    this.#ranges = new BlobRanges(this.#session);
    this.#chunkBytes = options.chunkBytes;
    this.#places = options.places;
  }

  /** Asks whether the registry is there and takes the credentials. Throws `unauthorized`, `network` or `registry`. */
  async ping(options: CallOptions = {}): Promise<void> {
    await this.#session.ping(options.signal);
  }

  async hasBlob(descriptor: Descriptor, options: CallOptions = {}): Promise<boolean> {
    return (await this.#look(descriptor, 'pull', options)) === 'present';
  }

  /**
   * Looking saves an upload and is not needed for one: who only pushes goes on without the answer, which is not waited for
   * long, and one token serves both. Only then a presence is unknown.
   */
  async #lookBeforePush(descriptor: Descriptor, { signal }: CallOptions): Promise<Presence> {
    try {
      return await this.#look(descriptor, 'push', { ...(signal ? { signal } : {}), patienceMs: COURTESY_MS });
    } catch (error) {
      const { status } = isStkError(error, 'registry') ? error.facts : {};
      if (isStkError(error, 'network') && !isUnreachable(error)) return 'unknown';
      if (typeof status === 'number' && isTransientStatus(status)) return 'unknown';
      throw error;
    }
  }

  async #look(
    descriptor: Descriptor,
    access: 'pull' | 'push',
    { signal, patienceMs }: CallOptions,
  ): Promise<'present' | 'absent'> {
    const target = `blobs/${descriptor.digest}`;
    const response = await this.#session.send({ method: 'HEAD', target, access, patienceMs, signal });
    if (response.status === 404) return (await response.discard(), 'absent');
    if (response.status !== 200) throw await refusal(response, `look for blob ${descriptor.digest} in ${this.name}`);
    await response.discard();
    // Some leave the length out, or say 0: nothing follows from that.
    const { contentLength = 0 } = response;
    const isThere = contentLength === 0 || contentLength === descriptor.size;
    if (isThere) this.#places?.add(descriptor, this.place.repository);
    return isThere ? 'present' : 'absent';
  }

  async *readBlob(descriptor: Descriptor, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    yield* downloadBlob(this.#session, descriptor, options);
    this.#places?.add(descriptor, this.place.repository);
  }

  /**
   * Part of a blob, **not verified**: check it against a hash of your own. Throws `unsupported` where the registry
   * serves whole blobs only.
   */
  async readBlobRange(
    descriptor: Descriptor,
    offset: number,
    length: number,
    options: CallOptions = {},
  ): Promise<Buffer> {
    return this.#ranges.read(descriptor, offset, length, options);
  }

  async putBlob(
    descriptor: Descriptor,
    source: () => AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<void> {
    const look = () => this.#lookBeforePush(descriptor, options);
    if ((await look()) === 'present') return;
    const { repository } = this.place;
    const { mountFrom: named, ...rest } = options;
    const mountFrom = this.#neighbour(named) ?? (await this.#places?.find(descriptor.digest, repository));
    let isSent = false;
    const watched = () => {
      isSent = true;
      return source();
    };
    await uploadBlob(
      this.#session,
      { descriptor, open: watched, look },
      { ...rest, mountFrom, chunkBytes: this.#chunkBytes },
    );
    if (isSent && mountFrom !== undefined) this.#places?.forget(descriptor.digest, mountFrom);
    this.#places?.add(descriptor, repository);
  }

  /** Blobs can be mounted from repositories of the same registry only; anything else is just not used. */
  #neighbour(mountFrom: StorePlace | undefined): RepositoryName | undefined {
    if (mountFrom?.kind !== 'docker' || !isSameRegistry(mountFrom, this.place)) return undefined;
    const { repository } = mountFrom;
    return repository === this.place.repository ? undefined : repository;
  }

  async resolve(reference: string, options: CallOptions = {}): Promise<Descriptor | undefined> {
    return resolveManifest(this.#session, reference, options);
  }

  async readManifest(reference: string, options: CallOptions = {}): Promise<ManifestBytes> {
    return readManifest(this.#session, reference, options);
  }

  async putManifest(manifest: ManifestBytes, tag?: string, options: PutManifestOptions = {}): Promise<void> {
    if (tag !== undefined && !isTag(tag)) {
      throw new StkError('invalid-input', `not a tag that registries know: ${tag.slice(0, 200)}`, {
        hint: 'up to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or dash',
      });
    }
    if (tag !== undefined && options.expected) {
      assertTagUnmoved(this.name, tag, options.expected.digest, (await this.resolve(tag, options))?.digest);
    }
    const { tracksSubject } = await putManifest(this.#session, manifest, tag, options);
    if (!tracksSubject) await this.#recordReferrer(manifest, options);
  }

  async tags(options: CallOptions = {}): Promise<readonly string[]> {
    return listTags(this.#session, options);
  }

  /** Of the whole registry, not only this repository; see `listRepositories`. */
  async repositories(options: CallOptions = {}): Promise<readonly RepositoryName[]> {
    return listRepositories(this.#session, options);
  }

  async referrers(
    digest: Digest,
    artifactType?: string,
    options: ReferrersOptions = {},
  ): Promise<readonly Descriptor[]> {
    return listReferrers(this.#session, digest, artifactType, options);
  }

  /**
   * For registries without the referrers API the client keeps the list (distribution-spec, "Pushing Manifests with
   * Subject"). Two clients doing so at once may lose one entry: the specification offers nothing better.
   */
  async #recordReferrer({ descriptor, bytes }: ManifestBytes, options: CallOptions): Promise<void> {
    const { manifest } = parseManifest(bytes, nameOf(this.#session, descriptor.digest));
    if (!manifest.subject) return;
    const listed = await listReferrers(this.#session, manifest.subject.digest, undefined, options);
    if (listed.some(entry => entry.digest === descriptor.digest)) return;
    const artifactType = manifest.artifactType ?? ('config' in manifest ? manifest.config.mediaType : undefined);
    const { mediaType, digest, size } = descriptor;
    const { annotations } = manifest;
    const entry = {
      mediaType,
      digest,
      size,
      ...(artifactType ? { artifactType } : {}),
      ...(annotations ? { annotations } : {}),
    };
    const index: Index = { schemaVersion: 2, mediaType: MediaType.index, manifests: [...listed, entry] };
    const indexBytes = Buffer.from(JSON.stringify(index));
    const indexDescriptor = { mediaType: MediaType.index, digest: digestOf(indexBytes), size: indexBytes.byteLength };
    const target = { descriptor: indexDescriptor, bytes: indexBytes };
    await putManifest(this.#session, target, referrersTag(manifest.subject.digest), options);
  }
}
