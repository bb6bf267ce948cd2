import { digestOf, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { parseTrace, type ReadTrace } from '../lazy/read-trace.ts';
import type { BlobStore, CallOptions } from '../oci/blob-store.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { putDocument } from '../oci/put-document.ts';
import { readSmallBlob } from '../oci/read-small-blob.ts';

/** Type of the artifact, and of its one layer. */
const TRACE_TYPE = 'application/vnd.stk.read-trace.v1+json';
const NAME = 'dev.stk.trace.name';
const CREATED = 'org.opencontainers.image.created';
const EMPTY = Buffer.from('{}');

/** A trace to be kept with an image. */
export interface NamedTrace {
  /** Of the workload. */
  readonly name: string;
  readonly trace: ReadTrace;
  /** RFC 3339. */
  readonly createdAt: string;
}

/** Keeps a trace beside an image, as an artifact whose subject the image is; returns the artifact's digest. */
export async function putTrace(
  store: BlobStore,
  subject: Descriptor,
  { name, trace, createdAt }: NamedTrace,
  options: CallOptions = {},
): Promise<Digest> {
  const bytes = Buffer.from(JSON.stringify(trace));
  const layer = { mediaType: TRACE_TYPE, digest: digestOf(bytes), size: bytes.length };
  const config = { mediaType: MediaType.empty, digest: digestOf(EMPTY), size: EMPTY.length };
  const { mediaType, digest, size } = subject;
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    artifactType: TRACE_TYPE,
    config,
    layers: [layer],
    subject: { mediaType, digest, size },
    annotations: { [NAME]: name, [CREATED]: createdAt },
  };
  await putDocument(store, { descriptor: config, bytes: EMPTY }, options);
  await putDocument(store, { descriptor: layer, bytes }, options);
  const document = jsonDocument(manifest, MediaType.manifest);
  await store.putManifest(document, undefined, options);
  return document.descriptor.digest;
}

/**
 * The trace of an image by the name of its workload, else the newest. `undefined` where there is none, or it cannot be had:
 * without one, everything is slower and nothing else. Throws `not-found` for a name that no trace has.
 */
export async function findTrace(
  store: BlobStore,
  image: Digest,
  name: string | undefined,
  options: CallOptions = {},
): Promise<ReadTrace | undefined> {
  try {
    const referrers = await store.referrers(image, TRACE_TYPE, options);
    const newest = (list: readonly Descriptor[]) => list.toSorted((a, b) => (createdAt(a) < createdAt(b) ? 1 : -1))[0];
    const found = newest(name === undefined ? referrers : referrers.filter(one => one.annotations?.[NAME] === name));
    if (!found) {
      if (name === undefined) return undefined;
      const names = referrers.map(one => one.annotations?.[NAME]).join(', ');
      throw new StkError('not-found', `${store.name}@${image} has no trace ${name}`, {
        hint: names === '' ? `make one: stk optimize --name ${name} REF -- COMMAND` : `it has: ${names}`,
      });
    }
    const { bytes } = await store.readManifest(found.digest, options);
    const { manifest } = parseManifest(bytes, found.digest);
    const layer = 'layers' in manifest ? manifest.layers[0] : undefined;
    return layer && parseTrace((await readSmallBlob(store, layer, options)).toString('utf8'));
  } catch (error) {
    if (name !== undefined || options.signal?.aborted || !isStkError(error)) throw error;
    return undefined;
  }
}

function createdAt({ annotations }: Descriptor): string {
  return annotations?.[CREATED] ?? '';
}
