import { digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { showUrl } from '../host/http-url.ts';
import { MAX_MANIFEST_BYTES, type CallOptions, type ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType, isIndexType, isManifestType } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { isTag } from '../oci/reference.ts';
import { refusal } from './refusal.ts';
import { STORAGE_MS } from './upload-requests.ts';
import type { RegistrySession } from './session.ts';

/** How long a registry is asked for something that the work could go on without. */
export const COURTESY_MS = 10_000;
const ACCEPT = [MediaType.index, MediaType.manifest, MediaType.dockerIndex, MediaType.dockerManifest].join(', ');
/** What careless servers call any JSON; the document itself then says what it is. */
const VAGUE_TYPES = new Set(['', 'application/json', 'application/octet-stream', 'text/plain', 'binary/octet-stream']);

/**
 * Descriptor of a tag or digest as the registry's headers state it: a claim until `readManifest` has hashed the bytes.
 * One HEAD where the registry answers it in full, else the manifest is read.
 */
export async function resolveManifest(
  session: RegistrySession,
  reference: string,
  options: CallOptions = {},
): Promise<Descriptor | undefined> {
  const response = await request(session, 'HEAD', reference, options);
  await response.discard();
  if (response.status === 404) return undefined;
  if (response.status === 200) {
    const mediaType = contentType(response);
    assertNotSchema1(mediaType, session, reference);
    const digest = response.header('docker-content-digest');
    const { contentLength: size } = response;
    const complete = isDigest(digest) && size !== undefined && size > 0 && size <= MAX_MANIFEST_BYTES;
    if (complete && (isIndexType(mediaType) || isManifestType(mediaType))) {
      if (isDigest(reference) && reference !== digest) throw wrongDigest(session, reference, digest);
      return { mediaType, digest, size };
    }
  }
  try {
    return (await readManifest(session, reference, options)).descriptor;
  } catch (error) {
    if (error instanceof StkError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** A manifest or index whose bytes were hashed; by digest they are what was asked for, by tag what the registry says. */
export async function readManifest(
  session: RegistrySession,
  reference: string,
  options: CallOptions = {},
): Promise<ManifestBytes> {
  const response = await request(session, 'GET', reference, options);
  if (response.status !== 200) throw await refusal(response, `read ${nameOf(session, reference)}`);
  const stated = contentType(response);
  if (!isIndexType(stated) && !isManifestType(stated) && !VAGUE_TYPES.has(stated)) {
    await response.discard();
    assertNotSchema1(stated, session, reference);
    throw new StkError(
      'registry',
      `${showUrl(response.url)} answered with ${stated || 'no content type'}, not a manifest`,
      {
        hint: 'check that the address is that of a registry',
        facts: { url: showUrl(response.url), contentType: stated },
      },
    );
  }
  const bytes = await response.bytes(MAX_MANIFEST_BYTES);
  const digest = digestOf(bytes);
  const claimed = isDigest(reference) ? reference : response.header('docker-content-digest');
  if (isDigest(claimed) && claimed !== digest) throw wrongDigest(session, claimed, digest);
  const parsed = parseManifest(bytes, nameOf(session, reference));
  // One document must not be an image to one reader and an index to another (image-spec, manifest.md, `mediaType`).
  if (
    !VAGUE_TYPES.has(stated) &&
    (isIndexType(stated) !== (parsed.kind === 'index') || disagrees(parsed.manifest, stated))
  ) {
    throw new StkError(
      'invalid-input',
      `${nameOf(session, reference)}: mediaType is not the ${stated} that it came as`,
      {
        facts: { field: 'mediaType' },
      },
    );
  }
  const mediaType = VAGUE_TYPES.has(stated) ? parsed.mediaType : stated;
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes };
}

/** Stores a manifest under its digest or a tag. Returns whether the registry keeps track of its `subject` itself. */
export async function putManifest(
  session: RegistrySession,
  manifest: ManifestBytes,
  tag: string | undefined,
  options: CallOptions = {},
): Promise<{ readonly tracksSubject: boolean }> {
  const { descriptor, bytes } = manifest;
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new StkError('invalid-input', `manifest ${descriptor.digest} is ${bytes.byteLength} bytes long`);
  }
  if (bytes.byteLength !== descriptor.size || digestOf(bytes) !== descriptor.digest) {
    throw new StkError('integrity', `the manifest to store does not match ${descriptor.digest}`);
  }
  const response = await session.send({
    method: 'PUT',
    target: `manifests/${checked(tag ?? descriptor.digest)}`,
    access: 'push',
    headers: { 'content-type': descriptor.mediaType },
    body: bytes,
    signal: options.signal,
  });
  if (!response.isSuccess) throw await refusal(response, `store ${nameOf(session, tag ?? descriptor.digest)}`);
  await response.discard();
  const stored = response.header('docker-content-digest');
  if (isDigest(stored) && stored !== descriptor.digest) throw wrongDigest(session, descriptor.digest, stored);
  // The specification has 201 alone; whoever answers otherwise is asked what it did.
  if (response.status !== 201) await assertStored(session, descriptor, tag, options);
  return { tracksSubject: response.header('oci-subject') !== undefined };
}

/**
 * Waits until the registry has a manifest that it may have taken, but has not stored yet. Where it does not say, its answer to
 * the request that stored it stands.
 */
async function assertStored(
  session: RegistrySession,
  { digest }: Descriptor,
  tag: string | undefined,
  options: CallOptions,
): Promise<void> {
  const reference = tag ?? digest;
  const patience = session.client.patience(`storing ${nameOf(session, reference)}`, STORAGE_MS);
  let found: Descriptor | undefined;
  do {
    try {
      found = await resolveManifest(session, reference, { ...options, patienceMs: COURTESY_MS });
    } catch (error) {
      if (isStkError(error, 'network', 'registry')) return patience.hold();
      throw error;
    }
    if (found?.digest === digest) return patience.hold();
  } while (await patience.again('the registry took it, but does not have it yet', options.signal));
  patience.hold();
  throw new StkError('registry', `${session.host} took ${nameOf(session, reference)}, but does not have it`, {
    hint: 'the registry may need longer to store it: try again later',
    facts: { digest, ...(found === undefined ? {} : { found: found.digest }) },
  });
}

/** For messages. */
export function nameOf(session: RegistrySession, reference: string): string {
  return `docker://${session.host}/${session.repository}${isDigest(reference) ? '@' : ':'}${reference.slice(0, 200)}`;
}

function request(
  session: RegistrySession,
  method: 'GET' | 'HEAD',
  reference: string,
  { signal, patienceMs }: CallOptions,
): Promise<HttpResponse> {
  const target = `manifests/${checked(reference)}`;
  return session.send({ method, target, access: 'pull', headers: { accept: ACCEPT }, patienceMs, signal });
}

/** A reference becomes part of a path. */
function checked(reference: string): string {
  if (isDigest(reference) || isTag(reference)) return reference;
  throw new StkError('invalid-input', `neither a tag nor a digest: ${reference.slice(0, 200)}`, {
    facts: { reference },
  });
}

function contentType(response: HttpResponse): string {
  return (response.header('content-type') ?? '').split(';')[0]!.trim().toLowerCase().slice(0, 200);
}

function disagrees(document: { readonly mediaType?: string }, stated: string): boolean {
  return document.mediaType !== undefined && document.mediaType !== stated;
}

function assertNotSchema1(mediaType: string, session: RegistrySession, reference: string): void {
  if (!mediaType.startsWith('application/vnd.docker.distribution.manifest.v1')) return;
  throw new StkError('unsupported', `${nameOf(session, reference)} is a Docker schema 1 manifest`, {
    hint: 'push the image again with a current tool: schema 1 was withdrawn in 2017',
  });
}

function wrongDigest(session: RegistrySession, wanted: Digest, found: Digest): StkError {
  return new StkError('integrity', `${nameOf(session, wanted)}: the registry's manifest is ${found}`, {
    facts: { digest: wanted, found },
  });
}
