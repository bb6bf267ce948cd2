import type { AbsPath } from '../core/paths.ts';
import type { ReadText } from '../recipe/load.ts';
import type { DownloadFile, Validators } from '../sources/http-file.ts';
import type { Registries } from './registries.ts';

/** Largest recipe that is fetched, in bytes. */
const MAX_RECIPE_BYTES = 16 * 1024 * 1024;

/** The client and the logins; loaded at the first use. */
type OpenRegistries = () => Promise<Pick<Registries, 'client' | 'httpLogin'>>;

/** Fetches files over HTTP with the user's logins; what talks HTTP is loaded at the first use. */
export function httpDownload(open: OpenRegistries): DownloadFile {
  return async (url: string, target: AbsPath, validators: Validators | undefined, signal?: AbortSignal) => {
    const registries = await open();
    const { downloadFile } = await import('../host/http-download.ts');
    const { url: plain, authorization } = await registries.httpLogin(url);
    return downloadFile(registries.client, plain, target, { validators, authorization, signal });
  };
}

/** Reads recipes and files of values that lie on a web server, at most 16 MiB of each. */
export function httpReadText(open: OpenRegistries): ReadText {
  return async (url, signal) => {
    const registries = await open();
    const { readText } = await import('../host/read-text.ts');
    const { url: plain, authorization } = await registries.httpLogin(url);
    const headers = authorization === undefined ? {} : { authorization };
    return readText(registries.client, { url: plain, headers, signal }, MAX_RECIPE_BYTES);
  };
}
