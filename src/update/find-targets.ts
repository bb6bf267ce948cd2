import type { AsyncScope } from '../core/async-scope.ts';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { isManifestType, layerFormat } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { isAttachmentTag } from '../oci/attachment-tag.ts';
import { parseImageName } from '../oci/image-name.ts';
import { isHostLike, parseRegistryHost, parseRegistryReference } from '../oci/reference.ts';
import type { StoredImage } from './update-plan.ts';
import { resolveManifest } from '../oci/resolve-image.ts';
import { namedBase } from '../sources/bases.ts';
import { imageReference } from '../stores/find-image.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import { appliedEntries, baseName, type WantedParts } from './find-parts.ts';

/** An image to be updated. */
export interface UpdateTarget {
  readonly image: StoredImage;
  /** What moves to the new version. */
  readonly tag: string;
  /** What that tag stands for now; `undefined`: nothing. */
  readonly expected: Digest | undefined;
}

/** An image that could not be updated, or not even looked at. */
export interface FailedTarget {
  readonly name: string;
  readonly tag: string | undefined;
  /** What was to be updated; `undefined` where it could not be read. */
  readonly from: Digest | undefined;
  readonly error: StkError;
}

export interface FoundTargets {
  readonly targets: readonly UpdateTarget[];
  readonly failed: readonly FailedTarget[];
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
}

/** Manifests that are read side by side. */
const PARALLEL = 8;

/**
 * The image that a reference names; with `all` every image of its layout, repository or registry that applies what is to
 * be swapped. Indexes are `unsupported`, and passed over with `all`, where an image that cannot be read hides no other.
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
  const image = await configured(ports, await readManifest(ports, store, reference, name));
  const { tag = isDigest(reference) ? undefined : reference } = options;
  if (tag === undefined) {
    throw new StkError('usage', `${name} names a digest: nothing could move to the new version`, {
      hint: 'give the new version a tag: --tag TAG',
    });
  }
  if (tag === reference) return one({ image, tag, expected: image.descriptor.digest });
  const expected = (await store.resolve(tag, { signal: ports.signal }))?.digest;
  return one({ image, tag, expected });
}

function one(target: UpdateTarget): FoundTargets {
  return { targets: [target], failed: [] };
}

async function findAll(
  ports: TargetPorts,
  ref: string | undefined,
  { tlsVerify, wanted }: TargetOptions,
): Promise<FoundTargets> {
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
      return attempt(name, tag, () => targetAt(ports, store, tag, { name, wanted }));
    },
    signal,
  );
  return { targets: found.flat(), failed };
}

/** None for what is no image, such as an index or an artifact, and for images that nothing is swapped in. */
async function targetAt(
  ports: TargetPorts,
  store: BlobStore,
  tag: string,
  { name, wanted }: { readonly name: string; readonly wanted: WantedParts },
): Promise<readonly UpdateTarget[]> {
  try {
    const found = await readManifest(ports, store, tag, name);
    if (!wants(found, wanted)) return [];
    const image = await configured(ports, found);
    return [{ image, tag, expected: image.descriptor.digest }];
  } catch (error) {
    if (isStkError(error, 'unsupported')) return [];
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

async function readManifest(
  { signal }: TargetPorts,
  store: BlobStore,
  reference: string,
  name: string,
): Promise<ManifestOnly> {
  const { descriptor, bytes } = await store.readManifest(reference, { signal });
  const parsed = parseManifest(bytes, name);
  if (parsed.kind === 'index' || !isManifestType(parsed.mediaType)) {
    throw new StkError('unsupported', `${name} is an index of several images`, {
      hint: 'update each of them by its digest, with --tag',
    });
  }
  return { descriptor, manifest: parsed.manifest, store, name };
}

async function configured({ signal }: TargetPorts, found: ManifestOnly): Promise<StoredImage> {
  const { store, name } = found;
  return { ...(await resolveManifest(store, found, name, { signal })), store, name };
}

/** Images with other layers than squashfs are the same images in another form. */
function wants(image: ManifestOnly, { applied, base }: WantedParts): boolean {
  if (image.manifest.layers.some(layer => layerFormat(layer.mediaType).kind !== 'squashfs')) return false;
  const entries = appliedEntries(image);
  if (base !== 'stay' && !standsOn(image, base.ref)) return false;
  if (applied === 'all') return entries.length > 0;
  return applied.size === 0 || entries.some(entry => applied.has(entry.name));
}

function standsOn(image: ManifestOnly, ref: string | undefined): boolean {
  const name = namedBase(image.manifest.annotations)?.name;
  return name !== undefined && (ref === undefined || name === baseName(ref));
}
