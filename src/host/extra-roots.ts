import path from 'node:path';
import { readFile, readdir } from './files.ts';

/** Where the environment says that trusted certificates lie. */
export interface RootPlaces {
  /** `$SSL_CERT_FILE` and `$NODE_EXTRA_CA_CERTS` */
  readonly files: readonly (string | undefined)[];
  /** `$SSL_CERT_DIR`: directories with colons between them. */
  readonly directories: string | undefined;
}

/** Beyond this a directory is not one of certificates. */
const MOST_FILES = 2000;

/**
 * PEM certificates to trust besides the built-in ones, each once. As in OpenSSL and Go, what cannot be read, or holds no
 * certificate, is passed over.
 */
export async function readExtraRoots({ files, directories }: RootPlaces): Promise<readonly string[]> {
  const named = files.filter(file => file !== undefined && file !== '') as string[];
  for (const directory of (directories ?? '').split(':').filter(part => part !== '')) {
    const names = await readdir(directory).catch(() => []);
    named.push(...names.slice(0, MOST_FILES).map(name => path.join(directory, name)));
  }
  const found = new Set<string>();
  for (const file of named) {
    const text = await readFile(file, 'latin1').catch(() => '');
    for (const [certificate] of text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)) {
      found.add(certificate);
    }
  }
  return [...found];
}
