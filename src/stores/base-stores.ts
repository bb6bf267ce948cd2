import type { Digest } from '../../../core/digest.ts';
import type { AbsPath } from '../../../core/paths.ts';
import type { ReadText } from '../../../recipe/load.ts';
import type { DownloadFile, Validators } from '../../../sources/http-file.ts';
import type { OpenedImage, OpenImageStore } from '../../../sources/ports.ts';
import { formatImageName, referenceOf, type StoredName } from '../../../oci/image-name.ts';
import { parseRegistryReference } from '../../../oci/reference.ts';
import type { Session } from '../../session.ts';
import { isTrustedImage } from '../../trusted-images.ts';
import { demandsSignature, type SignatureFlags } from '../signature/require-signature.ts';
import type { SignatureDemand } from '../signature/signature-demand.ts';

/** Largest recipe that is fetched, in bytes. */
const MAX_RECIPE_BYTES = 16 * 1024 * 1024;

/** Layers that the kernel may have though they were not packed here, and why. */
export type Vouched = Map<Digest, 'signed' | 'trusted'>;

/**
 * Opens registries and layouts; what talks HTTP is loaded at the first use. Where a signature is demanded, every image is
 * checked when it is opened, and then asked for by the digest that was checked.
 * @param vouched receives the layers of images that a demanded signature covers, or that the configuration trusts
 */
export function makeOpenStore(session: Session, flags: SignatureFlags = {}, vouched?: Vouched): OpenImageStore {
  const open = openUnchecked(session);
  const demands = demandsSignature(flags);
  let demand: Promise<SignatureDemand> | undefined;
  return async image => {
    const opened = await open(image);
    const name: StoredName =
      image.type === 'oci'
        ? { kind: 'oci', directory: image.directory, tag: image.tag }
        : parseRegistryReference(image.url);
    const trusted = isTrustedImage(session.global.trustedImages, formatImageName(name)) ? 'trusted' : undefined;
    if (!demands) return { ...opened, vouch: voucher(vouched, trusted) };
    const { openSignatureDemand } = await import('../signature/signature-demand.ts');
    demand ??= openSignatureDemand(session, flags);
    const { digest, signatures } = await (await demand).check(opened.store, opened.reference, name);
    const why = signatures.length > 0 ? 'signed' : trusted;
    return { store: opened.store, reference: digest, vouch: voucher(vouched, why) };
  };
}

function voucher(vouched: Vouched | undefined, why: 'signed' | 'trusted' | undefined): OpenedImage['vouch'] {
  if (!vouched || !why) return undefined;
  return layers => {
    for (const { digest } of layers) vouched.set(digest, why);
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
