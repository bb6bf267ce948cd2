import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { readFile, readdir } from '../host/files.ts';
import type { TlsSettings } from '../host/http-agents.ts';
import type { RegistryHost } from '../oci/reference.ts';

const MAX_PEM_BYTES = 1024 * 1024;
const MAX_FILES = 100;

/** Directories that hold certificates by registry, the first that knows a registry is used (containers-certs.d(5)). */
export function certificateDirectories(home: string | undefined): readonly string[] {
  return [
    ...(home ? [path.join(home, '.config/containers/certs.d')] : []),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ];
}

/**
 * Authorities (`*.crt`) and the client certificate (`*.cert` with `*.key`) for a registry, from the first directory that
 * has a `host[:port]` directory for it; `undefined` if none has. Throws `invalid-input` for half a client certificate.
 */
export async function loadCertificates(
  host: RegistryHost,
  directories: readonly string[],
): Promise<TlsSettings | undefined> {
  for (const parent of directories) {
    const directory = path.join(parent, host);
    const names = await readdir(directory).catch((error: unknown) => {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'EACCES') return undefined;
      throw error;
    });
    if (names) return readDirectory(directory, names.toSorted().slice(0, MAX_FILES));
  }
  return undefined;
}

async function readDirectory(directory: string, names: readonly string[]): Promise<TlsSettings> {
  const ca: string[] = [];
  let client: { readonly cert: string; readonly key: string } | undefined;
  for (const name of names) {
    const file = path.join(directory, name);
    if (name.endsWith('.crt')) ca.push(await readPem(file));
    if (name.endsWith('.cert')) {
      const key = name.replace(/cert$/, 'key');
      if (!names.includes(key)) throw half(file, 'key');
      client ??= { cert: await readPem(file), key: await readPem(path.join(directory, key)) };
    }
    if (name.endsWith('.key') && !names.includes(name.replace(/key$/, 'cert'))) throw half(file, 'cert');
  }
  return { ...(ca.length === 0 ? {} : { ca }), ...client };
}

async function readPem(file: string): Promise<string> {
  const text = await readFile(file, 'latin1').catch((cause: unknown) => {
    throw new StkError('invalid-input', `cannot read ${file}`, { cause, facts: { path: file } });
  });
  if (text.length <= MAX_PEM_BYTES && text.includes('-----BEGIN ')) return text;
  throw new StkError('invalid-input', `${file} is not PEM`, { facts: { path: file } });
}

function half(file: string, missing: 'key' | 'cert'): StkError {
  return new StkError('invalid-input', `${file} has no .${missing} file beside it`, {
    hint: 'a client certificate is NAME.cert and NAME.key; an authority is NAME.crt',
    facts: { path: file },
  });
}
