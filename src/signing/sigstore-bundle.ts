import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { formatEnvelope, parseEnvelope, type Envelope } from './dsse.ts';

/** What cosign 3 keeps beside an image (cosign, "Bundle Specification"). */
export const BUNDLE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const BUNDLE_CONTENT = 'dev.sigstore.bundle.content';
export const BUNDLE_PREDICATE = 'dev.sigstore.bundle.predicateType';

/** A bundle of an envelope and a hint at the key, without any log. */
export function formatBundle(envelope: Envelope, key: KeyObject): Buffer {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const hint = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');
  return Buffer.from(
    JSON.stringify({
      mediaType: BUNDLE_MEDIA_TYPE,
      verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
      dsseEnvelope: formatEnvelope(envelope),
    }),
  );
}

/** The envelope of a bundle of any version; `undefined` for what is none, or signs something else. */
export function parseBundle(bytes: Uint8Array): Envelope | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null && 'dsseEnvelope' in value
      ? parseEnvelope(value.dsseEnvelope)
      : undefined;
  } catch {
    return undefined;
  }
}
