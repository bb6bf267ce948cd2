import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { addSignature, readSignatures } from './signature-image.ts';
import { formatPayload, isSignedBy, parsePayload, signPayload } from './simple-signing.ts';

export interface SignRequest {
  /** A private key from `parseSigningKey`. */
  readonly key: KeyObject;
  /** What the image is called: `host/repository`. Whoever verifies compares it with what they asked for. */
  readonly identity: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Signs a manifest or index that is in the store, in the format of cosign's key pairs. Does nothing if the key has
 * signed the same claim before; says whether it signed.
 */
export async function signImage(store: BlobStore, subject: Descriptor, request: SignRequest): Promise<boolean> {
  const { key, identity, signal } = request;
  const call = signal ? { signal } : {};
  const publicKey = createPublicKey(key);
  for await (const { payload, signature } of readSignatures(store, subject.digest, call)) {
    if (!isSignedBy(payload, signature, publicKey)) continue;
    const claim = parsePayload(payload);
    if (claim?.digest === subject.digest && claim.identity === identity) return false;
  }
  const payload = formatPayload({ digest: subject.digest, identity });
  await addSignature(store, subject, { payload, signature: signPayload(payload, key) }, call);
  return true;
}
