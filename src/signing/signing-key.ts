import { createHash, createPrivateKey, createPublicKey, scrypt, type KeyObject } from 'node:crypto';
import { StkError } from '../core/errors.ts';

/** Asks for the password of an encrypted key; called only for one. */
export type AskPassword = () => Promise<string>;

const WRONG_PASSWORD = 'check the password in STK_KEY_PASSWORD or COSIGN_PASSWORD, or type it again';
const MAX_PEM_LENGTH = 64 * 1024;
/** Labels that cosign has used; what they hold is the same. */
const COSIGN_LABEL = /^-----BEGIN ENCRYPTED (?:COSIGN|SIGSTORE) PRIVATE KEY-----\s*$/m;
/** Bound on the memory that a key file may make scrypt take. */
const MAX_SCRYPT_BYTES = 512 * 1024 * 1024;

/**
 * A private key for signing: PEM with an ECDSA key on P-256, as PKCS #8, SEC 1, or encrypted (PKCS #8 by OpenSSL,
 * cosign's own format). Throws `invalid-input`; nothing of the key or its password enters a message.
 */
export async function parseSigningKey(pem: string, askPassword: AskPassword): Promise<KeyObject> {
  const key = COSIGN_LABEL.test(pem) ? await openCosignKey(pem, askPassword) : await openPemKey(pem, askPassword);
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  throw badKey(`a ${key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? 'strange'} key cannot sign here`);
}

/** A public key for verification: PEM, SubjectPublicKeyInfo (RFC 5280). ECDSA, RSA from 2048 bits on, Ed25519. */
export function parseVerifyKey(pem: string): KeyObject {
  if (pem.length > MAX_PEM_LENGTH || !pem.includes('-----BEGIN PUBLIC KEY-----')) {
    throw badKey('no PEM public key', 'the file begins with -----BEGIN PUBLIC KEY-----');
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw badKey('the public key cannot be read', undefined, cause);
  }
  const type = key.asymmetricKeyType;
  const strongRsa = type === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048;
  if (type === 'ec' || type === 'ed25519' || strongRsa) return key;
  throw badKey(`a key of type ${type} is not used for signatures of images`);
}

/** sha256 of the public key's SubjectPublicKeyInfo, in hex: names a key in messages. */
export function keyFingerprint(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

async function openPemKey(pem: string, askPassword: AskPassword): Promise<KeyObject> {
  if (pem.length > MAX_PEM_LENGTH || !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) {
    throw badKey('no PEM private key', 'the file begins with -----BEGIN PRIVATE KEY-----');
  }
  const encrypted = pem.includes('ENCRYPTED');
  const passphrase = encrypted ? await askPassword() : undefined;
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    // OpenSSL's reasons say nothing of use, and a cause might say too much.
    if (encrypted) throw badKey('the key is damaged or the password wrong', WRONG_PASSWORD);
    throw badKey('the private key cannot be read');
  }
}

/** What cosign wraps: JSON that names scrypt (RFC 7914) and NaCl's secretbox over a PKCS #8 key. */
async function openCosignKey(pem: string, askPassword: AskPassword): Promise<KeyObject> {
  const body = /-----BEGIN [^-]+-----([A-Za-z0-9+/=\s]+)-----END/.exec(pem.slice(0, MAX_PEM_LENGTH))?.[1] ?? '';
  const envelope = parseEnvelope(Buffer.from(body, 'base64').toString('utf8'));
  const password = await askPassword();
  const boxKey = await deriveKey(password, envelope);
  const { xsalsa20poly1305 } = await import('@noble/ciphers/salsa.js');
  let der: Uint8Array;
  try {
    der = xsalsa20poly1305(boxKey, envelope.nonce).decrypt(envelope.ciphertext);
  } catch {
    throw badKey('the key is damaged or the password wrong', WRONG_PASSWORD);
  }
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  } catch {
    throw badKey('the encrypted key holds no PKCS #8 key');
  }
}

interface Envelope {
  readonly cost: number;
  readonly blockSize: number;
  readonly parallelization: number;
  readonly salt: Buffer;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
}

function parseEnvelope(text: string): Envelope {
  interface Written {
    readonly kdf?: { readonly name?: unknown; readonly params?: Record<string, unknown>; readonly salt?: unknown };
    readonly cipher?: { readonly name?: unknown; readonly nonce?: unknown };
    readonly ciphertext?: unknown;
  }
  let written: Written;
  try {
    written = (JSON.parse(text) ?? {}) as Written;
  } catch {
    throw badKey('the encrypted key is damaged');
  }
  const { kdf, cipher } = written;
  if (kdf?.name !== 'scrypt' || cipher?.name !== 'nacl/secretbox') {
    throw badKey(`the key is encrypted with ${String(kdf?.name)} and ${String(cipher?.name)}`.slice(0, 120));
  }
  const { N: cost, r: blockSize, p: parallelization } = kdf.params ?? {};
  const envelope = {
    cost: Number(cost),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
    salt: Buffer.from(String(kdf.salt), 'base64'),
    nonce: Buffer.from(String(cipher.nonce), 'base64'),
    ciphertext: Buffer.from(String(written.ciphertext), 'base64'),
  };
  const positive = [envelope.cost, envelope.blockSize, envelope.parallelization].every(
    n => Number.isInteger(n) && n > 0,
  );
  const sane = positive && Number.isInteger(Math.log2(envelope.cost)) && envelope.parallelization <= 16;
  if (!sane || memoryOf(envelope) > MAX_SCRYPT_BYTES || envelope.nonce.length !== 24) {
    throw badKey('the encrypted key has impossible parameters');
  }
  return envelope;
}

function memoryOf({ cost, blockSize, parallelization }: Envelope): number {
  return 128 * blockSize * (cost + parallelization + 2);
}

function deriveKey(password: string, envelope: Envelope): Promise<Uint8Array> {
  const { cost, blockSize, parallelization, salt } = envelope;
  return new Promise((resolve, reject) => {
    const options = { cost, blockSize, parallelization, maxmem: memoryOf(envelope) + 1024 * 1024 };
    scrypt(password, salt, 32, options, (error, key) => (error ? reject(error) : resolve(new Uint8Array(key))));
  });
}

function badKey(problem: string, hint?: string, cause?: unknown): StkError {
  return new StkError('invalid-input', `signing key: ${problem}`, {
    hint: hint ?? 'make one with: openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt',
    ...(cause === undefined ? {} : { cause }),
  });
}
