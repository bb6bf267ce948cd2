import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { open } from '../host/files.ts';

export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token server. */
  | { readonly kind: 'identity-token'; readonly token: string };

/** What of the process's environment decides where credentials lie. */
export interface CredentialEnvironment {
  readonly home?: string | undefined;
  /** `$REGISTRY_AUTH_FILE`: if set, the only file that is read and written. */
  readonly registryAuthFile?: string | undefined;
  /** `$XDG_RUNTIME_DIR` */
  readonly runtimeDir?: string | undefined;
  /** `$XDG_CONFIG_HOME` */
  readonly configHome?: string | undefined;
  /** `$DOCKER_CONFIG`, a directory */
  readonly dockerConfig?: string | undefined;
}

/** Asks `docker-credential-NAME` for a server's credentials; `undefined` if it has none. */
export type AskCredentialHelper = (
  helper: string,
  server: string,
  signal?: AbortSignal,
) => Promise<{ readonly username: string; readonly secret: string } | undefined>;

export interface FindCredentialsOptions {
  readonly environment: CredentialEnvironment;
  readonly askHelper?: AskCredentialHelper;
  readonly signal?: AbortSignal;
}

/** A credentials file (containers-auth.json(5), Docker's config.json); members that stk does not know are kept. */
export interface AuthFile {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

export interface AuthEntry {
  /** base64 of `user:password` */
  readonly auth?: string;
  readonly identitytoken?: string;
}

const MAX_AUTH_FILE_BYTES = 1024 * 1024;
const DOCKER_HUB_KEYS = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];

/** The files that may hold credentials, first match wins (containers-auth.json(5)). */
export function authFiles(environment: CredentialEnvironment): readonly string[] {
  const { registryAuthFile, runtimeDir, configHome, dockerConfig, home } = environment;
  if (registryAuthFile) return [registryAuthFile];
  const config = configHome || (home && path.join(home, '.config'));
  const docker = dockerConfig || (home && path.join(home, '.docker'));
  return [
    ...(runtimeDir ? [path.join(runtimeDir, 'containers', 'auth.json')] : []),
    ...(config ? [path.join(config, 'containers', 'auth.json')] : []),
    ...(docker ? [path.join(docker, 'config.json')] : []),
  ];
}

/**
 * Credentials for a repository: in each file the helper named for the host, then the entry of the longest prefix of
 * `host/repository`, then the file's general helper. `undefined` means anonymous.
 * @param host as in references, Docker Hub is `docker.io`
 * @param repository left out where the registry as a whole is meant
 */
export async function findCredentials(
  host: string,
  repository: string | undefined,
  options: FindCredentialsOptions,
): Promise<Credentials | undefined> {
  for (const file of authFiles(options.environment)) {
    const content = await readAuthFile(file);
    const found = content && (await findInFile(content, host, repository ?? '', options));
    if (found) return found;
  }
  return undefined;
}

async function findInFile(
  file: AuthFile,
  host: string,
  repository: string,
  { askHelper, signal }: FindCredentialsOptions,
): Promise<Credentials | undefined> {
  const hosts = DOCKER_HUB_KEYS.includes(host) ? DOCKER_HUB_KEYS : [host];
  for (const server of hosts) {
    const helper = ownMember(file.credHelpers, server);
    const found = helper !== undefined && (await ask(askHelper, helper, server, signal));
    if (found) return found;
  }
  for (const key of keysOf(hosts, repository)) {
    const found = entryCredentials(ownMember(file.auths, key), key);
    if (found) return found;
  }
  // Docker writes keys as URLs: https://index.docker.io/v1/, https://host.
  for (const [key, entry] of Object.entries(file.auths ?? {})) {
    if (!hosts.includes(/^https?:\/\/([^/]+)/.exec(key)?.[1] ?? '')) continue;
    const found = entryCredentials(entry, key);
    if (found) return found;
  }
  if (file.credsStore === undefined) return undefined;
  const server = hosts.length > 1 ? 'https://index.docker.io/v1/' : host;
  return ask(askHelper, file.credsStore, server, signal);
}

function* keysOf(hosts: readonly string[], repository: string): Generator<string> {
  const parts = repository === '' ? [] : repository.split('/');
  for (let count = parts.length; count >= 0; count--) {
    for (const host of hosts) yield [host, ...parts.slice(0, count)].join('/');
  }
}

async function ask(
  askHelper: AskCredentialHelper | undefined,
  helper: string,
  server: string,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  // The name becomes part of a program's name.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper)) {
    throw new StkError('invalid-input', `not the name of a credential helper: ${helper.slice(0, 100)}`);
  }
  const found = await askHelper?.(helper, server, signal);
  if (!found) return undefined;
  return found.username === '<token>'
    ? { kind: 'identity-token', token: found.secret }
    : { kind: 'password', username: found.username, password: found.secret };
}

function entryCredentials(entry: AuthEntry | undefined, key: string): Credentials | undefined {
  if (entry === undefined) return undefined;
  if (entry.identitytoken) return { kind: 'identity-token', token: entry.identitytoken };
  if (!entry.auth) return undefined;
  const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon <= 0) throw new StkError('invalid-input', `credentials of ${key} are not base64 of user:password`);
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Reads a credentials file; `undefined` if there is none. Throws `invalid-input` without quoting its content. */
export async function readAuthFile(file: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size > MAX_AUTH_FILE_BYTES) throw badFile(file, 'is too large');
    text = await handle.readFile('utf8');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'EACCES') return undefined;
    throw error;
  }
  if (text.trim() === '') return {};
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw badFile(file, 'is not JSON');
  }
  const present = presentMembers(content);
  if (!isAuthFile(present)) throw badFile(file, 'has members of the wrong type');
  return present;
}

/** Null is what programs written in Go write for what is not there. */
function presentMembers(value: unknown): unknown {
  if (!isObject(value)) return value;
  const present = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(present.map(([key, member]) => [key, presentMembers(member)]));
}

function isAuthFile(value: unknown): value is AuthFile {
  if (!isObject(value)) return false;
  const { auths = {}, credHelpers = {}, credsStore = '' } = value;
  const isOptionalText = (member: unknown) => member === undefined || typeof member === 'string';
  const isEntry = (entry: unknown) =>
    isObject(entry) && isOptionalText(entry['auth']) && isOptionalText(entry['identitytoken']);
  return (
    isObject(auths) &&
    Object.values(auths).every(isEntry) &&
    isObject(credHelpers) &&
    Object.values(credHelpers).every(name => typeof name === 'string') &&
    typeof credsStore === 'string'
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function ownMember<T>(map: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return map && Object.hasOwn(map, key) ? map[key] : undefined;
}

/** The value of an `Authorization` header (RFC 7617). */
export function basicAuthorization(credentials: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`;
}

function badFile(file: string, problem: string): StkError {
  return new StkError('invalid-input', `credentials file ${file} ${problem}`, {
    hint: 'repair it or remove it and log in again: stk login',
    facts: { path: file },
  });
}
