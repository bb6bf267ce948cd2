import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';

/** Path of a repository in a registry, `library/debian` (distribution-spec, "Pulling manifests": `<name>`). */
export type RepositoryName = string & { readonly __brand: 'RepositoryName' };
/** A tag of a registry (distribution-spec: `<reference>` as a tag). */
export type Tag = string & { readonly __brand: 'Tag' };
/** `host` or `host:port` of a registry as written in references; Docker Hub is `docker.io`. */
export type RegistryHost = string & { readonly __brand: 'RegistryHost' };

export interface RegistryReference {
  readonly kind: 'docker';
  readonly host: RegistryHost;
  readonly repository: RepositoryName;
  readonly tag?: Tag;
  readonly digest?: Digest;
}

export interface LayoutReference {
  readonly kind: 'oci';
  /** As written; not resolved against any directory. */
  readonly directory: string;
  /** Any text: a layout's tags may hold colons. */
  readonly tag?: string;
}

export type Reference = RegistryReference | LayoutReference;

/** Docker Hub's name in references, and the host that serves it. */
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_HOST = 'registry-1.docker.io';
const MAX_NAME_LENGTH = 255;

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::([0-9]{1,5}))?$`);

/** Parses `docker://…` or `oci:…`. Throws `invalid-input`. */
export function parseReference(text: string): Reference {
  if (text.startsWith('docker://')) return parseRegistryReference(text);
  if (text.startsWith('oci:')) return parseLayoutReference(text);
  throw bad(text, 'has no known transport', 'write docker://host/repository:tag or oci:directory:tag');
}

/**
 * Parses `[docker://]host[:port]/repository[:tag][@digest]` by the grammar of the distribution project. A first
 * component without a dot or a port that is not `localhost` belongs to the repository, on Docker Hub.
 */
export function parseRegistryReference(text: string): RegistryReference {
  let rest = text.startsWith('docker://') ? text.slice('docker://'.length) : text;
  let digest: Digest | undefined;
  const at = rest.indexOf('@');
  if (at >= 0) {
    const written = rest.slice(at + 1);
    if (!isDigest(written)) {
      const isLogin = showReference(text) !== text;
      throw bad(
        text,
        isLogin ? 'has a bad digest, or a login before its host' : 'has a bad digest',
        `a digest is @sha256:<64 lower-case hex digits>${isLogin ? '; logins are kept with stk login' : ''}`,
      );
    }
    [rest, digest] = [rest.slice(0, at), written];
  }
  let tag: Tag | undefined;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/') && !isBareHost(rest)) {
    [rest, tag] = [rest.slice(0, colon), parseTag(rest.slice(colon + 1), text)];
  }
  const { host, path } = splitHost(rest);
  if (!HOST.test(host) || Number(HOST.exec(host)?.[1] ?? 0) > 65_535) throw bad(text, `has a bad host: ${host}`);
  const repository = parseRepository(host === DOCKER_HUB && !path.includes('/') ? `library/${path}` : path, text);
  return {
    kind: 'docker',
    host: host as RegistryHost,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** Parses `[oci:]directory[:tag]`; the directory ends at the first colon. */
export function parseLayoutReference(text: string): LayoutReference {
  const rest = text.startsWith('oci:') ? text.slice('oci:'.length) : text;
  const colon = rest.indexOf(':');
  const directory = colon < 0 ? rest : rest.slice(0, colon);
  if (directory === '' || rest.includes('\0')) throw bad(text, 'names no directory', 'write oci:directory:tag');
  if (colon < 0) return { kind: 'oci', directory };
  const tag = rest.slice(colon + 1);
  if (tag === '') throw bad(text, 'has an empty tag', 'write oci:directory:tag, or leave the colon out');
  return { kind: 'oci', directory, tag };
}

export function parseRepository(path: string, reference = path): RepositoryName {
  if (path === '') throw bad(reference, 'names no repository', 'write docker://host/repository:tag');
  if (path.length > MAX_NAME_LENGTH) throw bad(reference, `has a repository of more than ${MAX_NAME_LENGTH} characters`);
  for (const component of path.split('/')) {
    if (COMPONENT.test(component)) continue;
    const lower = component.toLowerCase();
    const hint = component !== lower && COMPONENT.test(lower) ? 'repositories are written in lower case' : undefined;
    throw bad(reference, `has a bad repository component: ${component === '' ? '(empty)' : component}`, hint);
  }
  return path as RepositoryName;
}

export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

function parseTag(text: string, reference = text): Tag {
  if (isTag(text)) return text;
  const hint = 'a tag is up to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or dash';
  throw bad(reference, `has a bad tag: ${text === '' ? '(empty)' : text}`, hint);
}

/** What to ask a store for: the digest where there is one, because a tag may move; else the tag, else `latest`. */
export function storeReference(reference: Reference): string {
  if (reference.kind === 'docker') return reference.digest ?? reference.tag ?? 'latest';
  return reference.tag ?? 'latest';
}

/** The `host[:port]` to connect to. */
export function connectionHost(host: RegistryHost): string {
  return host === DOCKER_HUB ? DOCKER_HUB_HOST : host;
}

/** The one way to write a reference; parses to the same value again. */
export function formatReference(reference: Reference): string {
  if (reference.kind === 'oci') return `oci:${reference.directory}${reference.tag === undefined ? '' : `:${reference.tag}`}`;
  const { host, repository, tag, digest } = reference;
  return `docker://${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** A reference for messages: what may be a login that somebody wrote before the host is left out. */
export function showReference(text: string): string {
  const digest = /@sha\d{1,4}:[^@]*$/.exec(text)?.[0] ?? '';
  const rest = text.slice(0, text.length - digest.length);
  const scheme = /^[a-z]{1,20}:\/\//.exec(rest)?.[0] ?? '';
  const at = rest.lastIndexOf('@');
  const hasLogin = rest.slice(scheme.length, Math.max(at, scheme.length)).includes(':');
  return hasLogin ? `${scheme}***${rest.slice(at)}${digest}` : text;
}

/** `localhost:5000` alone is a host that lacks its repository, not Docker Hub's `localhost` with a tag. */
function isBareHost(text: string): boolean {
  return !text.includes('/') && /^(localhost|\[[^\]]*\]|[^:]*\.[^:]*):\d+$/.test(text);
}

function splitHost(text: string): { host: string; path: string } {
  const slash = text.indexOf('/');
  const first = slash < 0 ? text : text.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  if (slash < 0 && isBareHost(text)) return { host: text, path: '' };
  if (slash < 0 || !isHost) return { host: DOCKER_HUB, path: text };
  const host = first === 'index.docker.io' || first === DOCKER_HUB_HOST ? DOCKER_HUB : first;
  return { host, path: text.slice(slash + 1) };
}

function bad(text: string, problem: string, hint?: string): StkError {
  const safe = showReference(text);
  const shown = safe.length > 200 ? `${safe.slice(0, 200)}…` : safe;
  return new StkError('invalid-input', `image reference ${shown} ${problem}`, {
    ...(hint === undefined ? {} : { hint }),
    facts: { reference: shown },
  });
}
