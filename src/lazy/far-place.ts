import path from 'node:path';
import type { JsonValue } from '../core/canonical-json.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Range } from './read-trace.ts';
import { parseRegistryReference, type RegistryHost, type RepositoryName } from '../oci/reference.ts';

/** Where a blob is fetched from, and how: everything that another process needs for it. JSON. */
export interface FarPlace {
  readonly host: RegistryHost;
  readonly repository: RepositoryName;
  readonly mediaType: string;
  /** Any certificate is accepted, and plain http. */
  readonly insecure: boolean;
  /** Directory of the `PartCache`; absent where nothing is to be kept. */
  readonly cache?: AbsPath;
  readonly cacheBytes: number;
  readonly patienceMs: number;
  /** Read soon, in this order: fetched ahead. */
  readonly prefetch?: readonly Range[];
  /** The rest is fetched in the background, and the layer put here once it is whole. */
  readonly completeAt?: AbsPath;
  /** File that tells what is read first, for a trace. */
  readonly recordTo?: AbsPath;
  /** What the user's login, certificates, mirrors and proxies are found by. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Variables that say where the user's settings are, and how to reach the network: no secrets, but for a proxy's. */
const SETTINGS =
  /^(?:HOME|USER|LOGNAME|PATH|XDG_\w+|DBUS_SESSION_BUS_ADDRESS|DISPLAY|WAYLAND_DISPLAY|GNUPGHOME|PASSWORD_STORE_DIR|REGISTRY_AUTH_FILE|DOCKER_CONFIG|CONTAINERS_\w+|SSL_CERT_(?:FILE|DIR)|NODE_EXTRA_CA_CERTS|(?:https?|all|no)_proxy)$/i;

/** Of an environment, what a `FarPlace` takes along. */
export function settingsOf(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const entries = Object.entries(environment).filter((entry): entry is [string, string] => {
    return entry[1] !== undefined && SETTINGS.test(entry[0]);
  });
  return Object.fromEntries(entries);
}

/** Takes apart what came from another process. Throws `invalid-input`. */
export function parseFarPlace(value: unknown): FarPlace {
  if (typeof value !== 'object' || value === null) throw wrong('place');
  const place = value as Readonly<Record<string, unknown>>;
  const { host, repository, mediaType, insecure, environment } = place;
  if (typeof host !== 'string' || typeof repository !== 'string') throw wrong('repository');
  const reference = parseRegistryReference(`docker://${host}/${repository}`);
  if (typeof mediaType !== 'string') throw wrong('mediaType');
  return {
    host: reference.host,
    repository: reference.repository,
    mediaType,
    insecure: insecure === true,
    ...filePath(place, 'cache'),
    ...filePath(place, 'completeAt'),
    ...filePath(place, 'recordTo'),
    ...(place['prefetch'] === undefined ? {} : { prefetch: ranges(place['prefetch']) }),
    cacheBytes: count(place['cacheBytes'], 'cacheBytes'),
    patienceMs: count(place['patienceMs'], 'patienceMs'),
    environment: texts(environment),
  };
}

/** The place as JSON; its types have no index. */
export function farPlaceJson(place: FarPlace): JsonValue {
  const { prefetch, ...rest } = place;
  return prefetch === undefined ? rest : { ...rest, prefetch };
}

function filePath<N extends string>(place: Readonly<Record<string, unknown>>, name: N): Partial<Record<N, AbsPath>> {
  const value = place[name];
  if (value === undefined) return {};
  if (typeof value !== 'string' || !path.isAbsolute(value)) throw wrong(name);
  return { [name]: path.normalize(value) as AbsPath } as Partial<Record<N, AbsPath>>;
}

function ranges(value: unknown): readonly Range[] {
  if (!Array.isArray(value)) throw wrong('prefetch');
  return value.map((range: unknown): Range => {
    if (!Array.isArray(range)) throw wrong('prefetch');
    return [count(range[0], 'prefetch'), count(range[1], 'prefetch')];
  });
}

function count(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(what);
  return value;
}

function texts(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) throw wrong('environment');
  const entries = Object.entries(value);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) throw wrong('environment');
  return Object.fromEntries(entries);
}

function wrong(what: string): StkError {
  return new StkError('invalid-input', `the place of a blob is wrong: ${what}`);
}
