import { digestOf, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, CallOptions } from '../oci/blob-store.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { readSmallBlob } from '../oci/read-small-blob.ts';
import { attachmentTag } from '../oci/attachment-tag.ts';
import { putDocument } from '../oci/put-document.ts';
import { ifUsable } from './if-usable.ts';

/** As cosign names them (cosign, "Signature Specification"). */
export const SIGNATURE_LAYER = 'application/vnd.dev.cosign.simplesigning.v1+json';
export const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature';
export const SIGNATURE_ARTIFACT = 'application/vnd.dev.cosign.artifact.sig.v1+json';

/** A payload and the signature over it, as found: nothing is verified yet. */
export interface StoredSignature {
  readonly payload: Uint8Array;
  /** base64 */
  readonly signature: string;
}

const MAX_PAYLOAD_BYTES = 64 * 1024;
/** Signatures under the tag that are looked at. Whoever may write the tag can remove them as well. */
const MAX_TAGGED = 200;
/** Referrers that are looked at, and signatures in each: others may add some, but remove none. */
const MAX_REFERRERS = 500;
const MAX_REFERRER_BYTES = 256 * 1024;
const MAX_IN_REFERRER = 20;
/** Requests side by side. */
const PARALLEL = 8;
const ATTEMPTS = 3;

/**
 * The signatures kept beside a manifest, each once: under cosign's tag, then in artifacts that refer to the manifest. What
 * cannot be used is passed over. Both places have bounds of their own, so that what fills one hides nothing in the other;
 * nothing is read that the caller does not ask for.
 */
export async function* readSignatures(
  store: BlobStore,
  digest: Digest,
  options: CallOptions = {},
): AsyncGenerator<StoredSignature, void, undefined> {
  const seen = new Set<string>();
  const tagged = await ifUsable(() => readSignatureManifest(store, attachmentTag(digest, 'sig'), options));
  if (tagged) yield* readPayloads(store, signatureLayers(tagged, MAX_TAGGED), seen, options);
  const listed = await store.referrers(digest, SIGNATURE_ARTIFACT, { ...options, limit: MAX_REFERRERS });
  const referrers = listed.slice(0, MAX_REFERRERS).filter(({ size }) => size <= MAX_REFERRER_BYTES);
  for await (const manifest of inBatches(referrers, options, (referrer, call) =>
    ifUsable(() => readSignatureManifest(store, referrer.digest, call)),
  )) {
    // A list of referrers is a claim; what refers to another manifest says so itself.
    if (manifest?.subject?.digest !== digest) continue;
    yield* readPayloads(store, signatureLayers(manifest, MAX_IN_REFERRER), seen, options);
  }
}

function signatureLayers(manifest: Manifest, limit: number): readonly Descriptor[] {
  const isSignature = ({ mediaType, size, annotations }: Descriptor) =>
    mediaType === SIGNATURE_LAYER && size <= MAX_PAYLOAD_BYTES && annotations?.[SIGNATURE_ANNOTATION] !== undefined;
  return manifest.layers.filter(isSignature).slice(0, limit);
}

async function* readPayloads(
  store: BlobStore,
  layers: readonly Descriptor[],
  seen: Set<string>,
  options: CallOptions,
): AsyncGenerator<StoredSignature, void, undefined> {
  const fresh = layers.filter(layer => {
    const key = `${layer.digest} ${layer.annotations?.[SIGNATURE_ANNOTATION]}`;
    return !seen.has(key) && seen.add(key);
  });
  const read = async (layer: Descriptor, call: CallOptions): Promise<StoredSignature | undefined> => {
    const payload = await ifUsable(() => readSmallBlob(store, layer, call));
    return payload && { payload, signature: layer.annotations![SIGNATURE_ANNOTATION]! };
  };
  for await (const found of inBatches(fresh, options, read)) if (found) yield found;
}

/** Results in order, a few asked for at once; whoever stops early has asked for little in vain. */
async function* inBatches<T, R>(
  items: readonly T[],
  options: CallOptions,
  work: (item: T, options: CallOptions) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  for (let start = 0; start < items.length; start += PARALLEL) {
    const batch = items.slice(start, start + PARALLEL);
    yield* await mapLimited(batch, PARALLEL, (item, signal) => work(item, { signal }), options.signal);
  }
}

/** What cosign signs by default from version 3 on: it does not say what the image is called. */
const BUNDLE_ARTIFACT = 'application/vnd.dev.sigstore.bundle';
const MAX_BUNDLES = 20;

/** Whether a signature in the other format of cosign is there: none that counts, but worth telling. */
export async function hasBundle(store: BlobStore, digest: Digest, options: CallOptions = {}): Promise<boolean> {
  const referrers = await store.referrers(digest, undefined, { ...options, limit: MAX_REFERRERS });
  if (referrers.some(({ artifactType }) => artifactType?.startsWith(BUNDLE_ARTIFACT))) return true;
  // Lists that clients keep name the type of the configuration instead.
  for (const referrer of referrers.slice(0, MAX_BUNDLES)) {
    const manifest = await ifUsable(() => readSignatureManifest(store, referrer.digest, options));
    if (manifest?.artifactType?.startsWith(BUNDLE_ARTIFACT)) return true;
  }
  return false;
}

/** Adds a signature beside a manifest: to the image under cosign's tag, and as an artifact that refers to the manifest. */
export async function addSignature(
  store: BlobStore,
  subject: Descriptor,
  signature: StoredSignature,
  options: CallOptions = {},
): Promise<void> {
  const { payload } = signature;
  const layer: Descriptor = {
    mediaType: SIGNATURE_LAYER,
    digest: digestOf(payload),
    size: payload.byteLength,
    annotations: { [SIGNATURE_ANNOTATION]: signature.signature },
  };
  await putDocument(store, { descriptor: layer, bytes: payload }, options);
  await addReferrer(store, subject, layer, options);
  for (let attempt = 1; ; attempt++) {
    await addTagged(store, subject.digest, layer, options);
    // Two signers at once may each write without the other: whoever is missing adds itself again.
    const now = await readTagged(store, subject.digest, options);
    if (now && now.layers.some(entry => isSame(entry, layer))) return;
    if (attempt < ATTEMPTS) continue;
    throw new StkError('conflict', `${store.name}: the signature of ${subject.digest} was overwritten`, {
      hint: 'somebody else signs the same image at the same time: try again',
    });
  }
}

async function addTagged(store: BlobStore, digest: Digest, layer: Descriptor, options: CallOptions): Promise<void> {
  const before = await readTagged(store, digest, options);
  const layers = [...(before?.layers ?? []).filter(entry => !isSame(entry, layer)), layer];
  const config = jsonDocument(
    {
      architecture: '',
      created: '0001-01-01T00:00:00Z',
      history: layers.map(() => ({ created: '0001-01-01T00:00:00Z' })),
      os: '',
      rootfs: { type: 'layers', diff_ids: layers.map(entry => entry.digest) },
      config: {},
    },
    MediaType.config,
  );
  await putDocument(store, config, options);
  const manifest: Manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config: config.descriptor, layers };
  await store.putManifest(jsonDocument(manifest, MediaType.manifest), attachmentTag(digest, 'sig'), options);
}

async function addReferrer(
  store: BlobStore,
  subject: Descriptor,
  layer: Descriptor,
  options: CallOptions,
): Promise<void> {
  const { mediaType, digest, size } = subject;
  const config = jsonDocument({}, MediaType.empty);
  await putDocument(store, config, options);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    artifactType: SIGNATURE_ARTIFACT,
    config: config.descriptor,
    layers: [layer],
    subject: { mediaType, digest, size },
  };
  await store.putManifest(jsonDocument(manifest, MediaType.manifest), undefined, options);
}

async function readTagged(store: BlobStore, digest: Digest, options: CallOptions): Promise<Manifest | undefined> {
  try {
    return await readSignatureManifest(store, attachmentTag(digest, 'sig'), options);
  } catch (error) {
    if (isStkError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function readSignatureManifest(
  store: BlobStore,
  reference: string,
  options: CallOptions,
): Promise<Manifest | undefined> {
  const parsed = parseManifest((await store.readManifest(reference, options)).bytes, `${store.name} ${reference}`);
  return parsed.kind === 'manifest' ? parsed.manifest : undefined;
}

function isSame(a: Descriptor, b: Descriptor): boolean {
  return a.digest === b.digest && a.annotations?.[SIGNATURE_ANNOTATION] === b.annotations?.[SIGNATURE_ANNOTATION];
}
