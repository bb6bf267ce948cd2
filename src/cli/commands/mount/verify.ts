import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { Digest } from '../../../core/digest.ts';
import { verifyImage } from '../../../mount/verify-image.ts';
import { isLayout } from '../../../oci/layout.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { imageReference, pinPlatform } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import type { AttestationCheckFlags } from '../attest/attestation-check.ts';
import { imageName } from '../images/image-names.ts';
import { demandsSignature } from '../signature/require-signature.ts';

export type VerifyFlags = AttestationCheckFlags;

/** `stk verify REF`: the signature where one is demanded; every byte of the image, unless a signature in a registry is. */
export async function runVerify(session: Session, ref: string, flags: VerifyFlags): Promise<number> {
  const name = imageName(ref, flags);
  if (flags.attestation !== undefined || flags.predicateHas !== undefined) {
    const { runAttestationCheck } = await import('../attest/attestation-check.ts');
    return runAttestationCheck(session, name, flags);
  }
  let digest: Digest | undefined;
  if (demandsSignature(flags)) {
    const { runSignatureCheck } = await import('./sign-check.ts');
    digest = await runSignatureCheck(session, name, flags);
    // A signature is checked in a moment; whoever fetches the image checks every blob of it.
    if (name.kind === 'docker') return 0;
  }
  const { signal, stores } = session;
  await using scope = new AsyncScope();
  const opened = await stores.open(name, { ...flags, held: false }, scope);
  const { store } = opened;
  const pinned = await pinPlatform(opened, digest ?? imageReference(opened), signal);
  const reference = pinned ?? digest ?? imageReference(opened);
  const platform = name.platform ?? hostPlatform();
  if (isLayout(store)) {
    const tag = opened.name.tag ?? reference;
    const image = await verifyImage({
      layout: store,
      tag,
      digest: pinned ?? digest ?? opened.name.digest,
      platform,
      signal,
    });
    const verity = `${image.verityLayers} of ${image.layers} layers against their verity roots`;
    report(session, { name: tag, image, how: verity }, flags);
    return 0;
  }
  const { verifyStored } = await import('../../../transfer/verify-stored.ts');
  const { openSessionUi } = await import('../build/build.ts');
  await using ui = openSessionUi(session);
  const image = await verifyStored({ store, reference, platform, emit: ui.emit, signal });
  report(session, { name: ref, image, how: 'against their digests' }, flags);
  return 0;
}

interface Intact {
  readonly name: string;
  readonly image: { readonly digest: string; readonly blobs: number; readonly sizeBytes: number };
  /** What its blobs were held against. */
  readonly how: string;
}

function report(session: Session, { name, image, how }: Intact, flags: VerifyFlags): void {
  const { digest, blobs, sizeBytes } = image;
  session.stdout.write(
    flags.json
      ? `${jsonText({ ok: true, name, ...image })}\n`
      : `${name} is intact: ${blobs} blobs, ${formatBytes(sizeBytes)}, ${how}\n  digest ${digest}\n`,
  );
}
