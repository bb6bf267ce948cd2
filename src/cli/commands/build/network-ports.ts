import type { AbsPath } from '../../../core/paths.ts';
import type { ReadText } from '../../../recipe/load.ts';
import type { DownloadFile, Validators } from '../../../sources/http-file.ts';
import type { OpenImageStore } from '../../../sources/ports.ts';
import { referenceOf, type StoredName } from '../../../oci/image-name.ts';
import { parseRegistryReference } from '../../../oci/reference.ts';
import type { Session } from '../../session.ts';
import { demandsSignature, type SignatureFlags } from '../signature/require-signature.ts';
import type { SignatureDemand } from '../signature/signature-demand.ts';

/** Largest recipe that is fetched, in bytes. */
const MAX_RECIPE_BYTES = 16 * 1024 * 1024;

/**
 * Opens registries and layouts; what talks HTTP is loaded at the first use. Where a signature is demanded, every image is
 * checked when it is opened, and then asked for by the digest that was checked.
 */
export function makeOpenStore(session: Session, flags: SignatureFlags = {}): OpenImageStore {
  const open = openUnchecked(session);
  if (!demandsSignature(flags)) return open;
  let demand: Promise<SignatureDemand> | undefined;
  return async image => {
    const { openSignatureDemand } = await import('../signature/signature-demand.ts');
    demand ??= openSignatureDemand(session, flags);
    const { store, reference } = await open(image);
    const name: StoredName =
      image.type === 'oci'
        ? { kind: 'oci', directory: image.directory, tag: image.tag }
        : parseRegistryReference(image.url);
    const { digest } = await (await demand).check(store, reference, name);
    return { store, reference: digest };
  };
}

function openUnchecked(session: Session): OpenImageStore {
  return async reference => {
    if (reference.type === 'oci') {
      const { LayoutStore } = await import('../../../oci/layout.ts');
      return { store: await LayoutStore.open(reference.directory), reference: reference.tag };
    }
    const name = parseRegistryReference(reference.url);
    const store = await (await session.stores.registries()).open(name, reference.insecure);
    return { store, reference: referenceOf(name) ?? 'latest' };
  };
}

export function makeDownload(session: Session): DownloadFile {
  return async (url: string, target: AbsPath, validators: Validators | undefined, signal?: AbortSignal) => {
    const registries = await session.stores.registries();
    const { downloadFile } = await import('../../../host/http-download.ts');
    const { url: plain, authorization } = await registries.httpLogin(url);
    return downloadFile(registries.client, plain, target, { validators, authorization, signal });
  };
}

export function makeReadText(session: Session): ReadText {
  return async (url, signal) => {
    const registries = await session.stores.registries();
    const { readText } = await import('../../../host/read-text.ts');
    const { url: plain, authorization } = await registries.httpLogin(url);
    const headers = authorization === undefined ? {} : { authorization };
    return readText(registries.client, { url: plain, headers, signal }, MAX_RECIPE_BYTES);
  };
}
