import type { KeyObject } from 'node:crypto';
import { digestOf } from '../core/digest.ts';
import type { BlobStore, CallOptions } from '../oci/blob-store.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { signEnvelope } from './dsse.ts';
import { BUNDLE_CONTENT, BUNDLE_MEDIA_TYPE, BUNDLE_PREDICATE, formatBundle } from './sigstore-bundle.ts';
import { STATEMENT_MEDIA_TYPE, formatStatement, type Statement } from './statement.ts';

/** On the manifest and the layer of a statement. */
const PREDICATE_TYPE = 'in-toto.io/predicate-type';
const CREATED = 'org.opencontainers.image.created';

/** Something to be kept beside an image. */
export interface AttachedDocument {
  /** Of the artifact and of its only layer: others look for documents by both. */
  readonly mediaType: string;
  readonly bytes: Buffer;
  /** On manifest and layer. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** RFC 3339; others take the newest of several. */
  readonly created: string;
}

/**
 * Adds an artifact that refers to a manifest (image-spec, "Guidelines for Artifact Usage"), once: the same document has the
 * same digest. Returns the artifact's descriptor.
 */
export async function attachDocument(
  store: BlobStore,
  subject: Descriptor,
  document: AttachedDocument,
  options: CallOptions = {},
): Promise<Descriptor> {
  const { mediaType, bytes, annotations = {}, created } = document;
  const config = jsonDocument({}, MediaType.empty);
  await store.putBlob(config.descriptor, () => once(config.bytes), options);
  const layer: Descriptor = {
    mediaType,
    digest: digestOf(bytes),
    size: bytes.byteLength,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
  await store.putBlob(layer, () => once(bytes), options);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    artifactType: mediaType,
    config: config.descriptor,
    layers: [layer],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    annotations: { [CREATED]: created, ...annotations },
  };
  const artifact = jsonDocument(manifest, MediaType.manifest);
  await store.putManifest(artifact, undefined, options);
  return artifact.descriptor;
}

/** A statement as a document: with a key in a bundle of sigstore's, without one bare. */
export function statementDocument(statement: Statement, created: string, key: KeyObject | undefined): AttachedDocument {
  const payload = formatStatement(statement);
  const { predicateType } = statement;
  if (key === undefined) {
    const annotations = { [PREDICATE_TYPE]: predicateType };
    return { mediaType: STATEMENT_MEDIA_TYPE, bytes: payload, annotations, created };
  }
  return {
    mediaType: BUNDLE_MEDIA_TYPE,
    bytes: formatBundle(signEnvelope(STATEMENT_MEDIA_TYPE, payload, key), key),
    annotations: { [BUNDLE_CONTENT]: 'dsse-envelope', [BUNDLE_PREDICATE]: predicateType },
    created,
  };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
