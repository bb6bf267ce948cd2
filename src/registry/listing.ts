import { StkError } from '../core/errors.ts';
import type { Digest } from '../core/digest.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { locationUrl, showUrl } from '../host/http-url.ts';
import { MAX_MANIFEST_BYTES, type CallOptions, type ReferrersOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseIndex, parseManifest } from '../oci/parse-manifest.ts';
import { isTag, parseRepository, type RepositoryName } from '../oci/reference.ts';
import { readManifest } from './manifests.ts';
import { refusal } from './refusal.ts';
import type { RegistrySession } from './session.ts';

const PAGE_SIZE = 1000;
const MAX_PAGES = 1000;
const MAX_ENTRIES = 1_000_000;
/** Of all pages together. */
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/** All tags of the repository; none if it does not exist. Throws `registry` for a listing that loops or does not end. */
export async function listTags(session: RegistrySession, options: CallOptions = {}): Promise<readonly string[]> {
  const tags = new Set<string>();
  const pages = readPages(session, `tags/list?n=${PAGE_SIZE}`, {}, options);
  for await (const { response, bytes } of pages) {
    if (response.status === 404) return [];
    for (const tag of parseNames(bytes, response.url, 'tags')) if (isTag(tag)) tags.add(tag);
    if (tags.size > MAX_ENTRIES) throw endless(response.url);
  }
  return [...tags];
}

/**
 * All repositories of the registry, as far as it says. Throws `unsupported` where it has no catalog, which is an extension
 * that some hosts do not offer.
 */
export async function listRepositories(
  session: RegistrySession,
  options: CallOptions = {},
): Promise<readonly RepositoryName[]> {
  const names = new Set<RepositoryName>();
  const first = await session.catalogUrl(options.signal);
  first.searchParams.set('n', String(PAGE_SIZE));
  for await (const { response, bytes } of readPages(session, first, {}, options)) {
    if (response.status !== 200) {
      throw new StkError('unsupported', `${session.host} does not list its repositories`, {
        hint: 'name them one by one: docker://HOST/REPOSITORY',
      });
    }
    for (const name of parseNames(bytes, response.url, 'repositories')) names.add(parseRepository(name));
    if (names.size > MAX_ENTRIES) throw endless(response.url);
  }
  return [...names];
}

/**
 * Manifests that refer to a digest (distribution-spec, "Listing Referrers"), by the API or, where the registry has
 * none, by the index under the fallback tag.
 */
export async function listReferrers(
  session: RegistrySession,
  digest: Digest,
  artifactType: string | undefined,
  options: ReferrersOptions = {},
): Promise<readonly Descriptor[]> {
  const { limit } = options;
  const query = artifactType === undefined ? '' : `?${new URLSearchParams({ artifactType }).toString()}`;
  const found = new Map<Digest, Descriptor>();
  const pages = readPages(session, `referrers/${digest}${query}`, { accept: MediaType.index }, options);
  for await (const { response, bytes } of pages) {
    const isIndex = response.header('content-type')?.split(';')[0]?.trim() === MediaType.index;
    if (response.status !== 200 || !isIndex) return fallbackReferrers(session, digest, artifactType, options);
    for (const entry of filtered(parseIndex(bytes, showUrl(response.url)).manifests, artifactType)) {
      found.set(entry.digest, entry);
    }
    if (found.size >= (limit ?? Number.POSITIVE_INFINITY)) break;
  }
  return [...found.values()];
}

/** The tag under which clients keep an index of referrers where the registry does not (`<algorithm>-<hex>`). */
export function referrersTag(digest: Digest): string {
  return digest.replace(':', '-');
}

async function fallbackReferrers(
  session: RegistrySession,
  digest: Digest,
  artifactType: string | undefined,
  options: CallOptions,
): Promise<readonly Descriptor[]> {
  try {
    const { descriptor, bytes } = await readManifest(session, referrersTag(digest), options);
    const parsed = parseManifest(bytes, descriptor.digest);
    return parsed.kind === 'index' ? filtered(parsed.manifest.manifests, artifactType) : [];
  } catch (error) {
    if (error instanceof StkError && error.code === 'not-found') return [];
    throw error;
  }
}

/** A registry may filter, or not, and says so in a header that some forget. */
function filtered(entries: readonly Descriptor[], artifactType: string | undefined): readonly Descriptor[] {
  return artifactType === undefined ? entries : entries.filter(entry => entry.artifactType === artifactType);
}

interface Page {
  readonly response: HttpResponse;
  readonly bytes: Buffer;
}

/**
 * Follows `Link: <…>; rel="next"` (RFC 8288) on the registry's own origin. The first page may have any status below 500. A
 * list that is too long is `registry`, or with a `limit` ends where it is.
 */
async function* readPages(
  session: RegistrySession,
  first: string | URL,
  headers: Readonly<Record<string, string>>,
  options: ReferrersOptions,
): AsyncGenerator<Page> {
  const seen = new Set<string>();
  let sizeBytes = 0;
  let target: string | URL | undefined = first;
  while (target !== undefined) {
    const response = await session.send({ target, access: 'pull', headers, signal: options.signal });
    const { status, url } = response;
    const isAnswer =
      status === 200 || (seen.size === 0 && status < 500 && status !== 401 && status !== 403 && status !== 429);
    const isTags = typeof first === 'string' && first.startsWith('tags/');
    if (!isAnswer || (status !== 200 && status !== 404 && isTags)) {
      const what = typeof first === 'string' ? `${first.split('/')[0]} of ${session.repository}` : 'repositories';
      throw await refusal(response, `list ${what} at ${session.host}`);
    }
    const bytes =
      status === 200 ? await response.bytes(MAX_MANIFEST_BYTES) : (await response.discard(), Buffer.alloc(0));
    yield { response, bytes };
    seen.add(url.href);
    sizeBytes += bytes.byteLength;
    target = status === 200 ? nextPage(session, response) : undefined;
    if (target === undefined) return;
    const isTooLong = seen.size >= MAX_PAGES || sizeBytes >= MAX_LIST_BYTES;
    if (isTooLong && options.limit !== undefined) return;
    if (isTooLong || seen.has(target.href)) throw endless(url);
  }
}

function nextPage(session: RegistrySession, response: HttpResponse): URL | undefined {
  const link = /<([^<>]{1,4096})>\s*;\s*rel="?next"?/i.exec(response.header('link') ?? '')?.[1];
  if (link === undefined) return undefined;
  const next = locationUrl(response.url, link, session.insecure);
  if (next.origin === response.url.origin) return next;
  throw new StkError('registry', `${showUrl(response.url)} goes on at another server: ${showUrl(next)}`, {
    facts: { url: showUrl(response.url) },
  });
}

function parseNames(bytes: Buffer, url: URL, member: 'tags' | 'repositories'): readonly string[] {
  let answer: unknown;
  try {
    answer = JSON.parse(bytes.toString('utf8'));
  } catch {
    answer = undefined;
  }
  // Registries written in Go answer null for an empty list.
  const names: unknown =
    typeof answer === 'object' && answer !== null && !Array.isArray(answer)
      ? ((answer as Readonly<Record<string, unknown>>)[member] ?? [])
      : undefined;
  if (Array.isArray(names) && names.every(name => typeof name === 'string')) return names;
  throw new StkError('registry', `${showUrl(url)} answered with no list of ${member}`, {
    facts: { url: showUrl(url) },
  });
}

function endless(url: URL): StkError {
  return new StkError('registry', `${showUrl(url)} answers with a list that does not end`, {
    facts: { url: showUrl(url) },
  });
}
