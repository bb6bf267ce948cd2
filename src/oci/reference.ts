import { isDigest, type Digest } from '../core/digest.ts';
import { ImageNameError, showReference, type TextPlace } from './image-name-error.ts';

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

/** Docker Hub's name in references, and the host that serves it. */
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_HOST = 'registry-1.docker.io';
const MAX_NAME_LENGTH = 255;

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-fA-F:]+\\])(?::([0-9]{1,5}))?$`);

/**
 * Parses `[docker://]host[:port]/repository[:tag][@digest]` by the grammar of the distribution project. A first
 * component without a dot or a port that is not `localhost` belongs to the repository, on Docker Hub. Throws `ImageNameError`.
 */
export function parseRegistryReference(text: string): RegistryReference {
  const start = text.startsWith('docker://') ? 'docker://'.length : 0;
  let end = text.length;
  let digest: Digest | undefined;
  const at = text.indexOf('@', start);
  if (at >= 0) {
    digest = parseDigest(text, at + 1);
    end = at;
  }
  let tag: Tag | undefined;
  const named = text.slice(start, end);
  const colon = named.lastIndexOf(':');
  if (colon > named.lastIndexOf('/') && !isBareHost(named)) {
    tag = parseTag(named.slice(colon + 1), { text, at: start + colon + 1 });
    end = start + colon;
  }
  const { host, path, pathAt } = splitHost(text.slice(start, end));
  assertHost(text, host, { at: start, length: pathAt === 0 ? host.length : pathAt - 1 });
  const isOfficial = host === DOCKER_HUB && path !== '' && !path.includes('/');
  const repository = parseRepository(path, { text, at: start + pathAt });
  return {
    kind: 'docker',
    host,
    repository: isOfficial ? (`library/${repository}` as RepositoryName) : repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** `host` or `host:port` of a registry; Docker Hub's other names are `docker.io`. Throws `ImageNameError`. */
export function parseRegistryHost(text: string): RegistryHost {
  assertHost(text, text, { at: 0, length: text.length });
  return canonicalHost(text);
}

function assertHost(text: string, host: string, place: TextPlace): asserts host is RegistryHost {
  const port = HOST.exec(host)?.[1] ?? 0;
  if (!HOST.test(host) || Number(port) > 65_535) throw new ImageNameError(text, 'has a bad host', place);
}

function parseDigest(text: string, at: number): Digest {
  const written = text.slice(at);
  if (isDigest(written)) return written;
  const isLogin = showReference(text) !== text;
  throw new ImageNameError(
    text,
    isLogin ? 'has a bad digest, or a login before its host' : 'has a bad digest',
    { at, length: written.length },
    `a digest is @sha256:<64 lower-case hex digits>${isLogin ? '; logins are kept with stk login' : ''}`,
  );
}

/** Where a part stands in the text that it was written in. */
interface Written {
  readonly text: string;
  readonly at: number;
}

export function parseRepository(path: string, { text, at }: Written = { text: path, at: 0 }): RepositoryName {
  const place = { at, length: path.length };
  if (path === '') throw new ImageNameError(text, 'names no repository', place, 'write docker://host/repository:tag');
  if (path.length > MAX_NAME_LENGTH) {
    throw new ImageNameError(text, `has a repository of more than ${MAX_NAME_LENGTH} characters`, place);
  }
  let before = 0;
  for (const component of path.split('/')) {
    if (!COMPONENT.test(component)) {
      const lower = component.toLowerCase();
      const isCase = component !== lower && COMPONENT.test(lower);
      throw new ImageNameError(
        text,
        component === '' ? 'has an empty repository component' : 'has a bad repository component',
        { at: at + before, length: component.length },
        isCase ? 'repositories are written in lower case' : undefined,
      );
    }
    before += component.length + 1;
  }
  return path as RepositoryName;
}

export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

/** A tag of a registry. Throws `ImageNameError`. */
export function parseTag(tag: string, { text, at }: Written = { text: tag, at: 0 }): Tag {
  if (isTag(tag)) return tag;
  const hint = 'a tag is up to 128 letters, digits, dots, dashes and underscores, not beginning with a dot or dash';
  throw new ImageNameError(text, tag === '' ? 'has an empty tag' : 'has a bad tag', { at, length: tag.length }, hint);
}

/** The `host[:port]` to connect to. */
export function connectionHost(host: RegistryHost): string {
  return host === DOCKER_HUB ? DOCKER_HUB_HOST : host;
}

/** `localhost:5000` alone is a host that lacks its repository, not Docker Hub's `localhost` with a tag. */
function isBareHost(text: string): boolean {
  return !text.includes('/') && /^(localhost|\[[^\]]*\]|[^:]*\.[^:]*):\d+$/.test(text);
}

/** Whether the first component of a name is a host, not a part of a repository. */
export function isHostLike(component: string): boolean {
  return /[.:]/.test(component) || component === 'localhost';
}

function canonicalHost(host: string): RegistryHost {
  return (host === 'index.docker.io' || host === DOCKER_HUB_HOST ? DOCKER_HUB : host) as RegistryHost;
}

/** `pathAt`: where the path begins in the text. */
function splitHost(text: string): { readonly host: string; readonly path: string; readonly pathAt: number } {
  const slash = text.indexOf('/');
  const first = slash < 0 ? text : text.slice(0, slash);
  const isHost = isHostLike(first) || first !== first.toLowerCase();
  if (slash < 0 && isBareHost(text)) return { host: text, path: '', pathAt: text.length };
  if (slash < 0 || !isHost) return { host: DOCKER_HUB, path: text, pathAt: 0 };
  return { host: canonicalHost(first), path: text.slice(slash + 1), pathAt: slash + 1 };
}
