import { baseStores, type Vouched } from '../../../stores/base-stores.ts';
import { httpDownload } from '../../../stores/http-files.ts';
import type { Session } from '../../session.ts';
import { isTrustedImage } from '../../trusted-images.ts';
import { demandsSignature, openDemand, type SignatureFlags } from '../signature/require-signature.ts';

/**
 * How a build opens images and fetches files.
 * @param vouched receives the layers of images that a demanded signature covers, or that the configuration trusts
 */
export function sourcePorts(session: Session, flags: SignatureFlags = {}, vouched?: Vouched) {
  const registries = () => session.stores.registries();
  return {
    openStore: baseStores({
      registries,
      demand: demandsSignature(flags) ? () => openDemand(session, flags) : undefined,
      isTrusted: name => isTrustedImage(session.global.trustedImages, name),
      vouched,
    }),
    download: httpDownload(registries),
  };
}
