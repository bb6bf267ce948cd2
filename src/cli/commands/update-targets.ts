import type { AsyncScope } from '../../core/async-scope.ts';
import { isDigest, type Digest } from '../../core/digest.ts';
import { StkError, isStkError } from '../../core/errors.ts';
import { mapLimited } from '../../core/limiter.ts';
import type { BlobStore } from '../../oci/blob-store.ts';
import { isManifestType, layerFormat } from '../../oci/media-types.ts';
import { parseManifest } from '../../oci/parse-manifest.ts';
import { parseRegistryReference } from '../../oci/reference.ts';
import type { StoredImage } from '../../publish/update-plan.ts';
import { resolveImage } from '../../registry/platform.ts';
import { namedBase } from '../../sources/bases.ts';
import type { Session } from '../session.ts';
import { hostPlatform } from './build-options.ts';
import { openSource } from './publish-stores.ts';
import { appliedEntries, baseName, type WantedParts } from './update-parts.ts';

/** An image to be updated. */
export interface UpdateTarget {
  readonly image: StoredImage;
  /** What moves to the new version. */
  readonly tag: string;
  /** What that tag stands for now; `undefined`: nothing. */
  readonly expected: Digest | undefined;
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
 * be swapped. Indexes are `unsupported`, and passed over with `all`.
 */
export async function findTargets(
  session: Session,
  ref: string | undefined,
  options: TargetOptions,
  scope: AsyncScope,
): Promise<readonly UpdateTarget[]> {
  if (options.all) return findAll(session, ref, options, scope);
  const { store, reference, name } = await openSource(session, ref!, options.tlsVerify, scope);
  if (reference === undefined) throw new StkError('usage', `${name} names no image`, { hint: 'write oci:DIR:TAG' });
  const image = await readImage(session, store, reference, name);
  const { tag = isDigest(reference) ? undefined : reference } = options;
  if (tag === undefined) {
    throw new StkError('usage', `${name} names a digest: nothing could move to the new version`, {
      hint: 'give the new version a tag: --tag TAG',
    });
  }
  if (tag === reference) return [{ image, tag, expected: image.descriptor.digest }];
  const expected = (await store.resolve(tag, { signal: session.signal }))?.digest;
  return [{ image, tag, expected }];
}

async function findAll(
  session: Session,
  ref: string | undefined,
  { tlsVerify, wanted }: TargetOptions,
  scope: AsyncScope,
): Promise<readonly UpdateTarget[]> {
  const { signal } = session;
  const stores = await findStores(session, ref, tlsVerify, scope);
  const places: { readonly store: BlobStore; readonly tag: string }[] = [];
  for (const { store, tag } of stores) {
    const tags = tag === undefined ? await store.tags({ signal }) : [tag];
    for (const each of tags) if (!ATTACHED_TAG.test(each)) places.push({ store, tag: each });
  }
  const found = await mapLimited(
    places,
    PARALLEL,
    async ({ store, tag }) => {
      const name = store.name.startsWith('docker://') ? `${store.name}:${tag}` : tag;
      const image = await imageOf(session, store, tag, name);
      return image && wants(image, wanted) ? [{ image, tag, expected: image.descriptor.digest }] : [];
    },
    signal,
  );
  return found.flat();
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
  const { openRegistry } = await import('./open-registry.ts');
  const { store } = await openRegistry(session, `docker://${host}/${prefix ?? 'catalog'}`, !tlsVerify);
  const names = await store.repositories({ signal: session.signal });
  const wanted = names.filter(name => prefix === undefined || name.startsWith(`${prefix}/`));
  const stores: { store: BlobStore }[] = [];
  for (const name of wanted) stores.push(await openRegistry(session, `docker://${host}/${name}`, !tlsVerify));
  return stores;
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
    return { store: (await openSource(session, ref, tlsVerify, scope)).store, tag };
  }
  const text = ref ?? `oci:${session.global.ociDir}`;
  const { store, reference } = await openSource(session, text, tlsVerify, scope);
  return { store, tag: reference };
}

/** `undefined` for what is no image, such as an index or an artifact. */
async function imageOf(
  session: Session,
  store: BlobStore,
  tag: string,
  name: string,
): Promise<StoredImage | undefined> {
  try {
    return await readImage(session, store, tag, name);
  } catch (error) {
    if (isStkError(error, 'unsupported')) return undefined;
    throw error;
  }
}

async function readImage(session: Session, store: BlobStore, reference: string, name: string): Promise<StoredImage> {
  const { signal } = session;
  const { descriptor, bytes } = await store.readManifest(reference, { signal });
  const parsed = parseManifest(bytes, name);
  if (parsed.kind === 'index' || !isManifestType(parsed.mediaType)) {
    throw new StkError('unsupported', `${name} is an index of several images`, {
      hint: 'update each of them by its digest, with --tag',
    });
  }
  // Read by digest, so that a tag that moves meanwhile mixes nothing up.
  return { ...(await resolveImage(store, descriptor.digest, hostPlatform(), { signal })), store, name };
}

/** Images with other layers than squashfs are the same images in another form. */
function wants(image: StoredImage, { applied, base }: WantedParts): boolean {
  if (image.manifest.layers.some(layer => layerFormat(layer.mediaType).kind !== 'squashfs')) return false;
  const entries = appliedEntries(image);
  if (base !== 'stay' && !standsOn(image, base.ref)) return false;
  if (applied === 'all') return entries.length > 0;
  return applied.size === 0 || entries.some(entry => applied.has(entry.name));
}

function standsOn(image: StoredImage, ref: string | undefined): boolean {
  const name = namedBase(image.manifest.annotations)?.name;
  return name !== undefined && (ref === undefined || name === baseName(ref));
}
