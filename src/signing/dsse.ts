import type { KeyObject } from 'node:crypto';
import { isSignedBy, signPayload } from './simple-signing.ts';

/** A signed payload (DSSE, "Dead Simple Signing Envelope", version 1). */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Buffer;
  /** base64 */
  readonly signatures: readonly string[];
}

const MOST_SIGNATURES = 20;

/** Signs a payload: what is signed is its type as well. */
export function signEnvelope(payloadType: string, payload: Buffer, key: KeyObject): Envelope {
  return { payloadType, payload, signatures: [signPayload(signedBytes(payloadType, payload), key)] };
}

/** The first of the keys that has signed. */
export function envelopeSigner(
  { payloadType, payload, signatures }: Envelope,
  keys: readonly KeyObject[],
): KeyObject | undefined {
  const bytes = signedBytes(payloadType, payload);
  return keys.find(key => signatures.some(signature => isSignedBy(bytes, signature, key)));
}

export function formatEnvelope({ payloadType, payload, signatures }: Envelope) {
  return {
    payload: payload.toString('base64'),
    payloadType,
    signatures: signatures.map(sig => ({ sig, keyid: '' })),
  };
}

/** Reads an envelope; `undefined` for what is none. Nothing of it is verified. */
export function parseEnvelope(value: unknown): Envelope | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { payload, payloadType, signatures } = value as Record<string, unknown>;
  if (typeof payload !== 'string' || typeof payloadType !== 'string' || !Array.isArray(signatures)) return undefined;
  const texts = (signatures as readonly unknown[]).slice(0, MOST_SIGNATURES).flatMap(item => {
    const sig = typeof item === 'object' && item !== null && 'sig' in item ? item.sig : undefined;
    return typeof sig === 'string' ? [sig] : [];
  });
  return { payloadType, payload: Buffer.from(payload, 'base64'), signatures: texts };
}

/** The pre-authentication encoding. */
function signedBytes(payloadType: string, payload: Buffer): Buffer {
  const type = Buffer.from(payloadType);
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}
