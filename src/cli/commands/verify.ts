import { formatBytes } from '../../core/bytes.ts';
import { verifyImage } from '../../mount/verify-image.ts';
import type { Session } from '../session.ts';
import { hostPlatform } from './build-options.ts';
import { openImage } from './mount-image-ref.ts';

/** `stk verify REF`. */
export async function runVerify(session: Session, ref: string, flags: { readonly json?: boolean }): Promise<number> {
  const { layout, tag } = await openImage(session, ref);
  const image = await verifyImage({ layout, tag, platform: hostPlatform(), signal: session.signal });
  if (flags.json) session.stdout.write(`${JSON.stringify({ ok: true, ...image })}\n`);
  else {
    const verity = `${image.verityLayers} of ${image.layers} layers against their verity roots`;
    session.stdout.write(
      `${tag} is intact: ${image.blobs} blobs, ${formatBytes(image.sizeBytes)}, ${verity}\n  digest ${image.digest}\n`,
    );
  }
  return 0;
}
