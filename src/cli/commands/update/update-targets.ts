import type { AsyncScope } from '../../../core/async-scope.ts';
import { isDigest, type Digest } from '../../../core/digest.ts';
import { StkError, isStkError } from '../../../core/errors.ts';
import { mapLimited } from '../../../core/limiter.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { isManifestType, layerFormat } from '../../../oci/media-types.ts';
import { parseManifest } from '../../../oci/parse-manifest.ts';
import { parseRegistryReference } from '../../../oci/reference.ts';
import type { StoredImage } from '../../../update/update-plan.ts';
import { resolveManifest } from '../../../oci/platform.ts';
import { namedBase } from '../../../sources/bases.ts';
import type { Session } from '../../session.ts';
import { openWritable } from '../images/publish-stores.ts';
import { appliedEntries, baseName, type WantedParts } from './update-parts.ts';

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

export interface TargetOptions {
  readonly all?: boolean;
  readonly tag?: string;
  readonly tlsVerify: boolean;
  readonly wanted: WantedParts;
}

/** Manifests that are read side by side. */
const PARALLEL = 8;
/** Tags under which signatures and referrers of others are kept. */
const ATTACHED_TAG = /^sha256-[0-9a-f]{64}/;

/**
 * The image that a reference names; with `all` every image of its layout, repository or registry that applies what is to
 * be swapped. Indexes are `unsupported`, and passed over with `all`, where an image that cannot be read hides no other.
 */
export async function findTargets(
  session: Session,
  ref: string | undefined,
  options: TargetOptions,
  scope: AsyncScope,
): Promise<FoundTargets> {
  if (options.all) return findAll(session, ref, options, scope);
  const { store, reference, name } = await openWritable(session, ref!, options.tlsVerify, scope);
  if (reference === undefined) throw new StkError('usage', `${name} names no image`, { hint: 'write oci:DIR:TAG' });
  const image = await configured(session, await readManifest(session, store, reference, name));
  const { tag = isDigest(reference) ? undefined : reference } = options;
  if (tag === undefined) {
    throw new StkError('usage', `${name} names a digest: nothing could move to the new version`, {
      hint: 'give the new version a tag: --tag TAG',
    });
  }
  if (tag === reference) return one({ image, tag, expected: image.descriptor.digest });
  const expected = (await store.resolve(tag, { signal: session.signal }))?.digest;
  return one({ image, tag, expected });
}

function one(target: UpdateTarget): FoundTargets {
  return { targets: [target], failed: [] };
}

async function findAll(
  session: Session,
  ref: string | undefined,
  { tlsVerify, wanted }: TargetOptions,
  scope: AsyncScope,
): Promise<FoundTargets> {
  const { signal } = session;
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
  const stores = await findStores(session, ref, tlsVerify, scope);
  const places = await mapLimited(
    stores,
    PARALLEL,
    async ({ store, tag }, inner) =>
      attempt(store.name, undefined, async () => {
        const tags = tag === undefined ? await store.tags({ signal: inner }) : [tag];
        return tags.filter(each => !ATTACHED_TAG.test(each)).map(each => ({ store, tag: each }));
      }),
    signal,
  );
  const found = await mapLimited(
    places.flat(),
    PARALLEL,
    async ({ store, tag }) => {
      const name = store.name.startsWith('docker://') ? `${store.name}:${tag}` : tag;
      return attempt(name, tag, () => targetAt(session, store, tag, { name, wanted }));
    },
    signal,
  );
  return { targets: found.flat(), failed };
}

/** None for what is no image, such as an index or an artifact, and for images that nothing is swapped in. */
async function targetAt(
  session: Session,
  store: BlobStore,
  tag: string,
  { name, wanted }: { readonly name: string; readonly wanted: WantedParts },
): Promise<readonly UpdateTarget[]> {
  try {
    const found = await readManifest(session, store, tag, name);
    if (!wants(found, wanted)) return [];
    const image = await configured(session, found);
    return [{ image, tag, expected: image.descriptor.digest }];
  } catch (error) {
    if (isStkError(error, 'unsupported')) return [];
    throw error;
  }
}

/** `docker://HOST` and `docker://HOST/PATH/` are every repository there. */
async function findStores(
  session: Session,
  ref: string | undefined,
  tlsVerify: boolean,
  scope: AsyncScope,
): Promise<readonly { readonly store: BlobStore; readonly tag?: string }[]> {
  const whole = /^docker:\/\/([^/]+)(?:\/|\/(.+)\/)?$/.exec(ref ?? '');
  if (!whole) {
    const { store, tag } = await openStore(session, ref, tlsVerify, scope);
    return [tag === undefined ? { store } : { store, tag }];
  }
  const [, host = '', prefix] = whole;
  const { openRegistryItself } = await import('../images/open-registry.ts');
  const { store } = await openRegistryItself(session, `docker://${host}/${prefix ?? 'catalog'}`, !tlsVerify);
  const names = await store.repositories({ signal: session.signal });
  return mapLimited(
    names.filter(name => prefix === undefined || name.startsWith(`${prefix}/`)),
    PARALLEL,
    async name => openRegistryItself(session, `docker://${host}/${name}`, !tlsVerify),
    session.signal,
  );
}

async function openStore(
  session: Session,
  ref: string | undefined,
  tlsVerify: boolean,
  scope: AsyncScope,
): Promise<{ readonly store: BlobStore; readonly tag: string | undefined }> {
  if (ref?.startsWith('docker://') === true) {
    const { tag, digest } = parseRegistryReference(ref);
    if (digest !== undefined) throw new StkError('usage', `--all takes tags, not a digest: ${ref}`);
    return { store: (await openWritable(session, ref, tlsVerify, scope)).store, tag };
  }
  const text = ref ?? `oci:${session.global.ociDir}`;
  const { store, reference } = await openWritable(session, text, tlsVerify, scope);
  return { store, tag: reference };
}

/** An image of which only the manifest was read. */
type ManifestOnly = Omit<StoredImage, 'config'>;

async function readManifest(
  { signal }: Session,
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

async function configured({ signal }: Session, found: ManifestOnly): Promise<StoredImage> {
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
