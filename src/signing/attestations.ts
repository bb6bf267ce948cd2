import type { KeyObject } from 'node:crypto';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { attachmentTag } from '../oci/attachment-tag.ts';
import type { BlobStore, CallOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { readSmallBlob } from '../oci/read-small-blob.ts';
import { ifUsable } from './if-usable.ts';
import { envelopeSigner, parseEnvelope, type Envelope } from './dsse.ts';
import { parseBundle } from './sigstore-bundle.ts';
import { keyFingerprint } from './signing-key.ts';
import { STATEMENT_MEDIA_TYPE, isPredicateType, parseStatement, type Statement } from './statement.ts';

/** A document beside an image, as found: nothing of it is verified. */
export interface FoundDocument {
  /** Of the artifact, or of the image under cosign's tag. */
  readonly artifact: Digest;
  readonly layer: Descriptor;
  /** Where it is an attestation, signed or bare. */
  readonly predicateType: string | undefined;
  readonly envelope: Envelope | undefined;
  /** What a bare one, or its envelope, says. */
  readonly statement: Statement | undefined;
  /** RFC 3339, as its artifact states. */
  readonly created: string | undefined;
  /** Bytes of the layer. */
  read(): Promise<Buffer>;
}

/** Largest document that is read (BuildKit has 40 MiB). */
const MAX_DOCUMENT_BYTES = 40 * 1024 * 1024;
/** Of all attestations of an image together. */
const MAX_READ_BYTES = 256 * 1024 * 1024;
const MAX_REFERRERS = 500;
const MOST_LAYERS = 50;
const PARALLEL = 6;
const BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle\b/;
const ENVELOPE = 'application/vnd.dsse.envelope.v1+json';
/** What cosign and others keep as referrers that is no document. */
const SIGNATURE = 'application/vnd.dev.cosign.simplesigning.v1+json';
const CREATED = 'org.opencontainers.image.created';

/**
 * Documents that refer to a manifest, and those that cosign keeps under a tag, in the order of the list. What cannot be used
 * is passed over: whoever may add junk must not hide what is good.
 */
export async function findDocuments(
  store: BlobStore,
  digest: Digest,
  options: CallOptions = {},
): Promise<readonly FoundDocument[]> {
  const listed = await store.referrers(digest, undefined, { ...options, limit: MAX_REFERRERS });
  const references: string[] = listed.slice(0, MAX_REFERRERS).map(referrer => referrer.digest);
  for (const kind of ['att', 'sbom'] as const) {
    const tag = attachmentTag(digest, kind);
    if (await store.resolve(tag, options)) references.push(tag);
  }
  const manifests = await mapLimited(
    references,
    PARALLEL,
    async (reference, signal) => {
      const found = await ifUsable(() => readManifest(store, reference, { signal }));
      const isTagged = !reference.startsWith('sha256:');
      // A list of referrers is a claim; what refers to another manifest says so itself.
      return found && (isTagged || found.manifest.subject?.digest === digest) ? [found] : [];
    },
    options.signal,
  );
  const layers = manifests.flat().flatMap(({ digest: artifact, manifest }) =>
    manifest.layers
      .slice(0, MOST_LAYERS)
      .filter(({ mediaType, size }) => mediaType !== SIGNATURE && size <= MAX_DOCUMENT_BYTES)
      .map(layer => ({ artifact, layer, created: manifest.annotations?.[CREATED] })),
  );
  const readDocument = (layer: Descriptor) => readSmallBlob(store, layer, { ...options, maxBytes: MAX_DOCUMENT_BYTES });
  // Small ones first: junk that is large uses nothing up that those need.
  let readBytes = 0;
  const read = new Map<Descriptor, Buffer | undefined>();
  for (const { layer } of layers.toSorted((a, b) => a.layer.size - b.layer.size)) {
    if (!isAttestation(layer) || (readBytes += layer.size) > MAX_READ_BYTES) continue;
    read.set(layer, await ifUsable(() => readDocument(layer)));
  }
  return layers.flatMap(({ artifact, layer, created }) => {
    const bytes = read.get(layer);
    if (isAttestation(layer) && bytes === undefined) return [];
    const envelope = bytes && envelopeOf(bytes);
    const statement = bytes && parseStatement(envelope?.payload ?? bytes);
    const predicateType = statement?.predicateType;
    return [{ artifact, layer, predicateType, envelope, statement, created, read: () => readDocument(layer) }];
  });
}

function isAttestation({ mediaType }: Descriptor): boolean {
  return mediaType === STATEMENT_MEDIA_TYPE || mediaType === ENVELOPE || BUNDLE.test(mediaType);
}

function envelopeOf(bytes: Buffer): Envelope | undefined {
  const bundled = parseBundle(bytes);
  if (bundled) return bundled;
  try {
    return parseEnvelope(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}

export interface VerifiedAttestation {
  readonly artifact: Digest;
  readonly statement: Statement;
  /** See `keyFingerprint`. */
  readonly key: string;
}

/**
 * Attestations of a type that one of the keys signed, about exactly this manifest. Throws `integrity` if there is none,
 * saying what was wrong with those that were found.
 */
export async function verifyAttestation(
  store: BlobStore,
  digest: Digest,
  wanted: { readonly type: string; readonly keys: readonly KeyObject[] },
  options: CallOptions = {},
): Promise<readonly VerifiedAttestation[]> {
  const refused = new Set<string>();
  const good: VerifiedAttestation[] = [];
  const found = await findDocuments(store, digest, options);
  for (const { artifact, envelope, statement } of found) {
    if (!statement) continue;
    if (!isPredicateType(statement.predicateType, wanted.type)) continue;
    if (!envelope) {
      refused.add('one is not signed');
      continue;
    }
    const key = envelopeSigner(envelope, wanted.keys);
    if (!key) refused.add('one is by another key, or was changed');
    else if (envelope.payloadType !== STATEMENT_MEDIA_TYPE) refused.add('one is signed as something else');
    else if (!statement.subjects.some(subject => subject.digest === digest)) refused.add('one is about something else');
    else good.push({ artifact, statement, key: keyFingerprint(key) });
  }
  if (good.length > 0) return good;
  const why = refused.size === 0 ? 'it has none of that type' : [...refused].slice(0, 5).join('; ');
  throw new StkError('integrity', `${store.name}: ${digest} has no attestation ${wanted.type} as required: ${why}`, {
    hint: 'check that the key belongs to whoever attests this image; stk attestations shows what is there',
    facts: { digest, attestations: found.length },
  });
}

async function readManifest(store: BlobStore, reference: string, options: CallOptions) {
  const { bytes, descriptor } = await store.readManifest(reference, options);
  const parsed = parseManifest(bytes, `${store.name} ${reference}`);
  return parsed.kind === 'manifest' ? { digest: descriptor.digest, manifest: parsed.manifest } : undefined;
}
