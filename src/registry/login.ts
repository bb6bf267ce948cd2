import path from 'node:path';
import { StkError } from '../core/errors.ts';
import { indentJson, jsonLike } from '../core/json-like.ts';
import type { AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lockFile } from '../host/file-lock.ts';
import { mkdir, readFile } from '../host/files.ts';
import { authFiles, readAuthFile, type AuthEntry, type AuthFile, type CredentialEnvironment } from './credentials.ts';

/**
 * Writes a password for a registry, or for a namespace or repository of it, into the user's credentials file, mode 0600,
 * and returns the file's path. Does not ask the registry: see `RegistryStore.ping`.
 * @param key `host[:port]` or `host[:port]/namespace[/repository]`
 */
export async function storeCredentials(
  key: string,
  credentials: { readonly username: string; readonly password: string },
  environment: CredentialEnvironment,
  signal?: AbortSignal,
): Promise<string> {
  if (credentials.username === '' || credentials.username.includes(':')) {
    throw new StkError('usage', 'a user name must not be empty or hold a colon');
  }
  const auth = Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64');
  const file = writableFile(environment);
  await change(file, auths => ({ ...auths, [key]: { auth } }), signal);
  return file;
}

/** Removes what `storeCredentials` wrote; says whether there was anything. */
export async function removeCredentials(
  key: string,
  environment: CredentialEnvironment,
  signal?: AbortSignal,
): Promise<boolean> {
  const file = writableFile(environment);
  const before = await readAuthFile(file);
  if (!before?.auths || !Object.hasOwn(before.auths, key)) return false;
  await change(file, ({ [key]: _removed, ...rest }) => rest, signal);
  return true;
}

type Auths = Readonly<Record<string, AuthEntry>>;

async function change(file: string, edit: (auths: Auths) => Auths, signal: AbortSignal | undefined): Promise<void> {
  const directory = path.resolve(path.dirname(file)) as AbsPath;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await using _lock = await lockFile(directory, 'exclusive', signal ? { signal } : {});
  const content: AuthFile = (await readAuthFile(file)) ?? {};
  // What stk neither knows nor changes stays as it is written.
  const before = await readFile(file, 'utf8').catch(() => '');
  const text = jsonLike({ ...content, auths: edit(content.auths ?? {}) }, before.trim() === '' ? '{}' : before);
  await writeFileAtomic(file, `${indentJson(text)}\n`, { mode: 0o600 });
}

/** Docker's own file is read, never written: its credentials may live in a helper. */
function writableFile(environment: CredentialEnvironment): string {
  const files = authFiles(environment);
  const file = files.find(name => path.basename(name) !== 'config.json') ?? environment.registryAuthFile;
  if (file === undefined) {
    throw new StkError('usage', 'nowhere to keep credentials', {
      hint: 'set REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR or HOME',
    });
  }
  return file;
}
