import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { Digest } from '../../../core/digest.ts';
import { verifyImage } from '../../../mount/verify-image.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { hostPlatform } from '../build/build-options.ts';
import { openImage } from '../images/mount-image-ref.ts';

export interface VerifyFlags {
  readonly json?: boolean;
  readonly tlsVerify: boolean;
}

/**
 * `stk verify REF`: every byte of the image.
 * @param digest what to verify instead of where a layout's tag points now
 */
export async function runVerify(session: Session, ref: string, flags: VerifyFlags, digest?: Digest): Promise<number> {
  if (ref.startsWith('docker://')) return verifyInRegistry(session, ref, flags);
  const { layout, tag } = await openImage(session, ref);
  const image = await verifyImage({ layout, tag, digest, platform: hostPlatform(), signal: session.signal });
  const verity = `${image.verityLayers} of ${image.layers} layers against their verity roots`;
  report(session, tag, image, verity, flags);
  return 0;
}

async function verifyInRegistry(session: Session, ref: string, flags: VerifyFlags): Promise<number> {
  const { openSource } = await import('../images/publish-stores.ts');
  const { verifyStored } = await import('../../../transfer/verify-stored.ts');
  const { openSessionUi } = await import('../build/build.ts');
  const scope = new AsyncScope();
  try {
    const { store, reference = 'latest' } = await openSource(session, ref, flags.tlsVerify, scope);
    await using ui = openSessionUi(session);
    const { signal } = session;
    const image = await verifyStored({ store, reference, platform: hostPlatform(), emit: ui.emit, signal });
    report(session, ref, image, 'against their digests', flags);
  } finally {
    await scope[Symbol.asyncDispose]();
  }
  return 0;
}

interface Intact {
  readonly digest: string;
  readonly blobs: number;
  readonly sizeBytes: number;
}

function report(session: Session, name: string, image: Intact, how: string, flags: VerifyFlags): void {
  const { digest, blobs, sizeBytes } = image;
  session.stdout.write(
    flags.json
      ? `${jsonText({ ok: true, name, ...image })}\n`
      : `${name} is intact: ${blobs} blobs, ${formatBytes(sizeBytes)}, ${how}\n  digest ${digest}\n`,
  );
}
