import { sign, verify, type KeyObject } from 'node:crypto';
import { isDigest, type Digest } from '../core/digest.ts';

/** What is signed of an image: which manifest, and under which name (containers-signature(5), "JSON data format"). */
export interface SignedClaim {
  readonly digest: Digest;
  /** `host/repository`, or with a tag; whatever the signer called the image. */
  readonly identity: string;
}

/** Written by cosign, and by containers/image for sigstore signatures. */
const PAYLOAD_TYPE = 'cosign container image signature';
const MAX_IDENTITY_LENGTH = 1024;

/** The signed bytes, exactly as cosign writes them. */
export function formatPayload({ digest, identity }: SignedClaim): Buffer {
  const critical = {
    identity: { 'docker-reference': identity },
    image: { 'docker-manifest-digest': digest },
    type: PAYLOAD_TYPE,
  };
  return Buffer.from(JSON.stringify({ critical, optional: null }));
}

/**
 * What a payload claims; `undefined` for anything that is not exactly such a payload. Members of `critical` that are not
 * known make it unusable, as the format demands. Only to be called on bytes whose signature was verified.
 */
export function parsePayload(bytes: Uint8Array): SignedClaim | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  const critical = member(value, 'critical');
  const digest = member(member(critical, 'image'), 'docker-manifest-digest');
  const identity = member(member(critical, 'identity'), 'docker-reference');
  const known = ['identity', 'image', 'type'];
  if (!isObject(critical) || !Object.keys(critical).every(key => known.includes(key))) return undefined;
  if (critical['type'] !== PAYLOAD_TYPE || !isDigest(digest)) return undefined;
  if (typeof identity !== 'string' || identity.length > MAX_IDENTITY_LENGTH) return undefined;
  return { digest, identity };
}

/** ECDSA over SHA-256, DER, base64: what stands in the annotation. */
export function signPayload(payload: Uint8Array, key: KeyObject): string {
  return sign('sha256', payload, key).toString('base64');
}

/** Never throws: a signature that cannot be read is a wrong one. */
export function isSignedBy(payload: Uint8Array, signature: string, key: KeyObject): boolean {
  if (!/^[A-Za-z0-9+/]{1,4096}={0,2}$/.test(signature)) return false;
  const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  try {
    return verify(algorithm, payload, key, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

function member(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
