import { createPublicKey, type KeyObject } from 'node:crypto';
import type { ImageOrigin } from '../../../builder/image-origin.ts';
import {
  buildProvenance,
  DEFAULT_BUILDER_ID,
  updateProvenance,
  type ProvenanceOptions,
  type SwappedLayer,
} from '../../../builder/slsa-provenance.ts';
import { isStkError } from '../../../core/errors.ts';
import { readInventory } from '../../../inventory/read-inventory.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { formatImageName, type ImageName } from '../../../oci/image-name.ts';
import {
  APPLY_DIGEST,
  APPLY_LIST,
  APPLY_NAME,
  APPLY_REF,
  LAYER_ROLE,
  UPDATE_FROM,
  parseAppliedEntries,
} from '../../../oci/layer-annotations.ts';
import { parseManifest } from '../../../oci/parse-manifest.ts';
import type { ResolvedImage } from '../../../oci/resolve-image.ts';
import { attachDocument, statementDocument } from '../../../signing/attach.ts';
import { findDocuments } from '../../../signing/attestations.ts';
import { envelopeSigner } from '../../../signing/dsse.ts';
import { PREDICATE_TYPES, formatStatement } from '../../../signing/statement.ts';
import type { Session } from '../../session.ts';
import { parseEpoch } from '../build/build-options.ts';
import { partCache } from '../sbom/part-cache.ts';
import { formatSbom, sbomSubject, type SbomFormat } from '../sbom/sbom-document.ts';

/** An image that documents are kept beside. */
export interface AttestedImage extends Pick<ResolvedImage, 'manifest' | 'config'> {
  readonly descriptor: Descriptor;
  /** Where documents are kept. */
  readonly store: BlobStore;
  /** Where the layers are read, if elsewhere. */
  readonly from?: BlobStore | undefined;
  readonly name: ImageName;
}

const MEDIA_TYPES = { cyclonedx: 'application/vnd.cyclonedx+json', spdx: 'application/spdx+json' } as const;

/** Keeps a bill of materials beside an image, as it is; and with a key a statement with it, signed. */
export async function attachSbom(
  session: Session,
  image: AttestedImage,
  { format, key }: { readonly format: SbomFormat; readonly key: KeyObject | undefined },
): Promise<readonly Descriptor[]> {
  const { store, from = store, descriptor, manifest, name } = image;
  const { signal } = session;
  const inventory = await readInventory(manifest.layers, { store: from, cache: await partCache(session), signal });
  const text = await formatSbom(format, sbomSubject(session, { ...image, tag: name.tag }), inventory);
  // When the image was made, so that the same document is the same artifact.
  const created = image.config.created ?? creationTime(session);
  const bytes = Buffer.from(text);
  const plain = { mediaType: MEDIA_TYPES[format], bytes, created };
  const attached = [await attachDocument(store, descriptor, plain, { signal })];
  if (key === undefined) return attached;
  const type = format === 'spdx' ? PREDICATE_TYPES.spdxjson : PREDICATE_TYPES.cyclonedx;
  const subjects = [{ name: subjectName(name), digest: descriptor.digest }];
  const statement = { predicateType: type, subjects, predicate: JSON.parse(text) as unknown };
  attached.push(await attachOnce(session, image, statement, { created, key }));
  return attached;
}

/** Keeps how an image was built beside it: signed with a key, bare without one. */
export async function attachProvenance(
  session: Session,
  image: Omit<AttestedImage, 'manifest' | 'config'>,
  origin: ImageOrigin,
  options: Partial<ProvenanceOptions> & { readonly key: KeyObject | undefined },
): Promise<Descriptor> {
  const { builderId = DEFAULT_BUILDER_ID, substitutions = [], key } = options;
  const predicate = buildProvenance(origin, { builderId, substitutions, version: session.version });
  const subjects = [{ name: subjectName(image.name), digest: image.descriptor.digest }];
  const statement = { predicateType: PREDICATE_TYPES.slsaprovenance1, subjects, predicate };
  return attachOnce(session, image, statement, { created: origin.finishedAt, key });
}

/**
 * Keeps how an image was updated beside it, as far as the store tells: what it was before is asked for by the digest in the
 * image's annotations, and may be gone.
 */
export async function attachUpdateProvenance(
  session: Session,
  image: AttestedImage,
  options: Partial<ProvenanceOptions> & {
    readonly key: KeyObject | undefined;
    readonly rules: readonly (readonly [glob: string, resolution: string])[];
  },
): Promise<Descriptor> {
  const { store, descriptor, manifest, name } = image;
  const from = manifest.annotations?.[UPDATE_FROM];
  const before = from === undefined ? [] : await layersOf(store, from, session.signal);
  const has = (layers: readonly Descriptor[], { digest }: Descriptor) => layers.some(one => one.digest === digest);
  const created = image.config.created ?? creationTime(session);
  const origin = {
    image: subjectName(name),
    from,
    removed: before.filter(layer => !has(manifest.layers, layer)).map(swappedLayer),
    added: manifest.layers.filter(layer => !has(before, layer)).map(swappedLayer),
    applied: parseAppliedEntries(manifest.annotations?.[APPLY_LIST] ?? '') ?? [],
    rules: options.rules,
    created,
  };
  const { builderId = DEFAULT_BUILDER_ID, key } = options;
  const predicate = updateProvenance(origin, { builderId, version: session.version });
  const subjects = [{ name: subjectName(name), digest: descriptor.digest }];
  const statement = { predicateType: PREDICATE_TYPES.slsaprovenance1, subjects, predicate };
  return attachOnce(session, image, statement, { created, key });
}

async function layersOf(store: BlobStore, digest: string, signal: AbortSignal): Promise<readonly Descriptor[]> {
  try {
    const parsed = parseManifest((await store.readManifest(digest, { signal })).bytes, store.name);
    return parsed.kind === 'manifest' ? parsed.manifest.layers : [];
  } catch (error) {
    if (isStkError(error, 'not-found')) return [];
    throw error;
  }
}

function swappedLayer({ digest, annotations = {} }: Descriptor): SwappedLayer {
  const said = [LAYER_ROLE, APPLY_NAME, APPLY_REF, APPLY_DIGEST].flatMap(name => {
    const value = annotations[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { digest, annotations: Object.fromEntries(said) };
}

/** Signatures differ each time they are made: what is there already, signed or not as is wanted, is left as it is. */
async function attachOnce(
  session: Session,
  { store, descriptor }: Pick<AttestedImage, 'store' | 'descriptor'>,
  statement: Parameters<typeof statementDocument>[0],
  { created, key }: { readonly created: string; readonly key: KeyObject | undefined },
): Promise<Descriptor> {
  const call = { signal: session.signal };
  const document = statementDocument(statement, created, key);
  if (key !== undefined) {
    const payload = formatStatement(statement);
    for (const { envelope, artifact } of await findDocuments(store, descriptor.digest, call)) {
      if (!envelope?.payload.equals(payload) || !envelopeSigner(envelope, [createPublicKey(key)])) continue;
      const known = await store.resolve(artifact, call);
      if (known) return known;
    }
  }
  return attachDocument(store, descriptor, document, call);
}

/** What a statement calls its image: the repository, or the tag in a layout. */
export function subjectName(name: ImageName): string {
  if (name.kind === 'docker') return `${name.host}/${name.repository}`;
  return name.tag ?? formatImageName(name);
}

/** RFC 3339: now, or as SOURCE_DATE_EPOCH says. */
export function creationTime({ environment }: Pick<Session, 'environment'>): string {
  const epoch = parseEpoch(environment['SOURCE_DATE_EPOCH']);
  return new Date(epoch === undefined ? Date.now() : epoch * 1000).toISOString();
}
