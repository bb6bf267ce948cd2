import type { AsyncScope } from '../core/async-scope.ts';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { formatPlatform, matchPlatform } from '../oci/platform.ts';
import { isManifestType, layerFormat } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { isAttachmentTag } from '../oci/attachment-tag.ts';
import { parseImageName } from '../oci/image-name.ts';
import { isHostLike, parseRegistryHost, parseRegistryReference } from '../oci/reference.ts';
import type { StoredImage } from './update-plan.ts';
import { isImage, resolveManifest } from '../oci/resolve-image.ts';
import { namedBase } from '../sources/bases.ts';
import { imageReference } from '../stores/find-image.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import { appliedEntries, type WantedParts } from './find-parts.ts';
import { baseName } from './part-places.ts';

/** An image to be updated. */
export interface UpdateTarget {
  readonly image: StoredImage;
  /** What moves to the new version. */
  readonly tag: string;
  /** What that tag stands for now; `undefined`: nothing. */
  readonly expected: Digest | undefined;
  /** The index that the tag stands for, which names the image; one object for all of its images. */
  readonly index: ManifestBytes | undefined;
}

/** An image that could not be updated, or not even looked at. */
export interface FailedTarget {
  readonly name: string;
  readonly tag: string | undefined;
  /** What was to be updated; `undefined` where it could not be read. */
  readonly from: Digest | undefined;
  readonly error: StkError;
}

/** An image of which only the manifest was read, under its tag. */
export interface ManifestTarget extends ManifestOnly {
  readonly tag: string;
}

export interface FoundTargets {
  readonly targets: readonly UpdateTarget[];
  readonly failed: readonly FailedTarget[];
  /** With `all`: images that nothing is swapped in. */
  readonly passedOver: readonly ManifestTarget[];
}

export interface TargetPorts {
  readonly stores: ImageStores;
  /** Owns what is opened. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

export interface TargetOptions {
  readonly all?: boolean;
  readonly tag?: string;
  readonly tlsVerify: boolean;
  readonly wanted: WantedParts;
  /** Which images of indexes; all of them by default. */
  readonly platform?: Platform | undefined;
}

/** Manifests that are read side by side. */
const PARALLEL = 8;

/**
 * The image that a reference names; with `all` every image of its layout, repository or registry that applies what is to
 * be swapped, where an image that cannot be read hides no other. An index gives those of its images that apply it. Throws
 * `unsupported` for what is no image, and `not-found` for a platform that there is not.
 */
export async function findTargets(
  ports: TargetPorts,
  ref: string | undefined,
  options: TargetOptions,
): Promise<FoundTargets> {
  if (options.all) return findAll(ports, ref, options);
  const opened = await ports.stores.openForChange(parseImageName(ref!), options, ports.scope);
  const { store, text: name } = opened;
  const reference = imageReference(opened);
  const found = await readDocument({ store, reference, name }, options.platform, ports.signal);
  const { tag = isDigest(reference) ? undefined : reference } = options;
  if (tag === undefined) {
    throw new StkError('usage', `${name} names a digest: nothing could move to the new version`, {
      hint: 'give the new version a tag: --tag TAG',
    });
  }
  const { digest } = found.root.descriptor;
  const expected = tag === reference ? digest : (await store.resolve(tag, { signal: ports.signal }))?.digest;
  // Of an index those alone that it is about, unless it is about none: then the first of them says so.
  const wanted = found.images.filter(image => !found.index || wants(image, options.wanted));
  const images = wanted.length > 0 ? wanted : found.images.slice(0, 1);
  const targets = await mapLimited(images, PARALLEL, each => configured(ports, each), ports.signal);
  return { targets: targets.map(image => ({ image, tag, expected, index: found.index })), failed: [], passedOver: [] };
}

async function findAll(ports: TargetPorts, ref: string | undefined, options: TargetOptions): Promise<FoundTargets> {
  const { tlsVerify } = options;
  const { signal } = ports;
  const failed: FailedTarget[] = [];
  const attempt = async <T>(name: string, tag: string | undefined, work: () => Promise<readonly T[]>) => {
    try {
      return await work();
    } catch (error) {
      if (!isStkError(error) || signal.aborted) throw error;
      failed.push({ name, tag, from: undefined, error });
      return [];
    }
  };
  const stores = await findStores(ports, ref, tlsVerify);
  const places = await mapLimited(
    stores,
    PARALLEL,
    async ({ store, tag }, inner) =>
      attempt(store.name, undefined, async () => {
        const tags = tag === undefined ? await store.tags({ signal: inner }) : [tag];
        return tags.filter(each => !isAttachmentTag(each)).map(each => ({ store, tag: each }));
      }),
    signal,
  );
  const found = await mapLimited(
    places.flat(),
    PARALLEL,
    async ({ store, tag }) => {
      const name = store.place.kind === 'docker' ? `${store.name}:${tag}` : tag;
      return attempt(name, tag, async () => [await targetsAt(ports, store, tag, { ...options, name })]);
    },
    signal,
  ).then(lists => lists.flat());
  return {
    targets: found.flatMap(({ targets }) => targets),
    failed,
    passedOver: found.flatMap(({ passedOver }) => passedOver),
  };
}

/** What a tag stands for now: none for what is no image, such as an artifact, or is of another platform. */
export async function targetsAt(
  ports: TargetPorts,
  store: BlobStore,
  tag: string,
  options: TargetOptions & { readonly name: string },
): Promise<Pick<FoundTargets, 'targets' | 'passedOver'>> {
  try {
    const { root, index, images } = await readDocument(
      { store, reference: tag, name: options.name },
      options.platform,
      ports.signal,
    );
    const expected = root.descriptor.digest;
    const wanted = images.filter(image => wants(image, options.wanted));
    const targets = await mapLimited(wanted, PARALLEL, each => configured(ports, each), ports.signal);
    const passedOver = images.filter(image => !wanted.includes(image)).map(image => ({ ...image, tag }));
    return { targets: targets.map(image => ({ image, tag, expected, index })), passedOver };
  } catch (error) {
    if (isStkError(error, 'unsupported') || error instanceof NoSuchPlatform) return { targets: [], passedOver: [] };
    throw error;
  }
}

/** `docker://HOST` and `docker://HOST/PATH/` are every repository there. */
async function findStores(
  ports: TargetPorts,
  ref: string | undefined,
  tlsVerify: boolean,
): Promise<readonly { readonly store: BlobStore; readonly tag?: string }[]> {
  const whole = /^docker:\/\/([^/]+)(?:\/|\/(.+)\/)?$/.exec(ref ?? '');
  if (!whole || !isHostLike(whole[1]!)) {
    const { store, tag } = await openStore(ports, ref, tlsVerify);
    return [tag === undefined ? { store } : { store, tag }];
  }
  const [, host = '', prefix] = whole;
  const names = await ports.stores.repositories(parseRegistryHost(host), prefix, { tlsVerify });
  const open = async (name: string) => {
    const reference = parseRegistryReference(`${host}/${name}`);
    return { store: (await ports.stores.openForChange(reference, { tlsVerify }, ports.scope)).store };
  };
  return mapLimited(names, PARALLEL, open, ports.signal);
}

async function openStore(
  { stores, scope }: TargetPorts,
  ref: string | undefined,
  tlsVerify: boolean,
): Promise<{ readonly store: BlobStore; readonly tag: string | undefined }> {
  const name = ref === undefined ? stores.resolveDirectory({ kind: 'tag' }) : parseImageName(ref);
  if (name.digest !== undefined) throw new StkError('usage', `--all takes tags, not a digest: ${ref}`);
  return { store: (await stores.openForChange(name, { tlsVerify }, scope)).store, tag: name.tag };
}

/** An image of which only the manifest was read. */
type ManifestOnly = Omit<StoredImage, 'config'>;

/** What a reference stands for, and the images to look at: itself, or those of an index. */
interface TargetDocument {
  readonly root: ManifestBytes;
  /** The root, where it is an index. */
  readonly index: ManifestBytes | undefined;
  readonly images: readonly ManifestOnly[];
}

/** Thrown for a platform that an image or index does not have. */
class NoSuchPlatform extends StkError {}

async function readDocument(
  { store, reference, name }: { readonly store: BlobStore; readonly reference: string; readonly name: string },
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<TargetDocument> {
  const root = await store.readManifest(reference, { signal });
  const { descriptor, bytes } = root;
  const parsed = parseManifest(bytes, name);
  const missing = () => new NoSuchPlatform('not-found', `${name} has no image for ${formatPlatform(platform!)}`);
  if (parsed.kind === 'manifest') {
    const image = { descriptor, manifest: parsed.manifest, store, name };
    if (platform === undefined) return { root, index: undefined, images: [image] };
    const { config } = await resolveManifest(store, image, name, { signal });
    if (matchPlatform([{ ...descriptor, platform: config }], platform).length === 0) throw missing();
    return { root, index: undefined, images: [image] };
  }
  const all = parsed.manifest.manifests.filter(entry => isManifestType(entry.mediaType) && !isAbout(entry));
  const entries = platform === undefined ? all : matchPlatform(all, platform).slice(0, 1);
  if (platform !== undefined && entries.length === 0) throw missing();
  const read = async (entry: Descriptor, inner: AbortSignal) => readEntry(store, entry, name, inner);
  const images = (await mapLimited(entries, PARALLEL, read, signal)).flat();
  if (images.length === 0) throw new StkError('unsupported', `${name} is an index that names no images`);
  return { root, index: root, images };
}

/** Attestations are entries for a platform that there is not. */
function isAbout({ platform }: Descriptor): boolean {
  return platform?.os === 'unknown';
}

async function readEntry(
  store: BlobStore,
  entry: Descriptor,
  index: string,
  signal: AbortSignal,
): Promise<readonly ManifestOnly[]> {
  const name = entry.platform ? `${index} (${formatPlatform(entry.platform)})` : `${index} (${entry.digest})`;
  const { descriptor, bytes } = await store.readManifest(entry.digest, { signal });
  const parsed = parseManifest(bytes, name);
  if (parsed.kind !== 'manifest' || !isImage(parsed.manifest)) return [];
  return [{ descriptor, manifest: parsed.manifest, store, name }];
}

async function configured({ signal }: TargetPorts, found: ManifestOnly): Promise<StoredImage> {
  const { store, name } = found;
  return { ...(await resolveManifest(store, found, name, { signal })), store, name };
}

/** What has layers that nobody can read is no image of files. */
function wants(image: ManifestOnly, { applied, base, foreign }: WantedParts): boolean {
  if (image.manifest.layers.some(layer => layerFormat(layer.mediaType).kind === 'unknown')) return false;
  if (foreign) return true;
  const entries = appliedEntries(image);
  if (base !== 'stay' && !standsOn(image, base.ref)) return false;
  if (applied === 'all') return entries.length > 0;
  return applied.size === 0 || entries.some(entry => applied.has(entry.name));
}

function standsOn(image: ManifestOnly, ref: string | undefined): boolean {
  const name = namedBase(image.manifest.annotations)?.name;
  return name !== undefined && (ref === undefined || name === baseName(ref));
}
