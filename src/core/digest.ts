import { createHash, type Hash } from 'node:crypto';
import { StkError } from './errors.ts';

/** A content digest in OCI form, `sha256:<64 lower-case hex digits>` (image-spec, descriptor.md, "Digests"). */
export type Digest = string & { readonly __brand: 'Digest' };
/** Digest of a layer's uncompressed tar, or of the blob itself where the layer is squashfs. */
export type DiffId = Digest & { readonly __diff: true };
/** Digest that identifies a stack of layers from the bottom up (image-spec, config.md, "Layer ChainID"). */
export type ChainId = Digest & { readonly __chain: true };
/** Digest of everything that decides what a step produces. */
export type CacheKey = Digest & { readonly __key: true };

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && DIGEST.test(text);
}

/** Parses a digest that came from outside. Throws `invalid-input`; only sha256 is understood. */
export function parseDigest(text: unknown, what = 'digest'): Digest {
  if (isDigest(text)) return text;
  throw new StkError('invalid-input', `${what} is not a sha256 digest: ${String(text).slice(0, 100)}`, {
    hint: 'a digest is written sha256:<64 lower-case hex digits>',
  });
}

/** The hex digits alone: the name of the blob's file in a layout. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestFromHex(hex: string): Digest {
  return parseDigest(`sha256:${hex}`);
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

/** A running sha256 with a byte count. */
export class Digester {
  readonly #hash: Hash = createHash('sha256');
  #sizeBytes = 0;

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.byteLength;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Ends the hash; call once. */
  finish(): Digest {
    return `sha256:${this.#hash.digest('hex')}` as Digest;
  }
}

/** ChainID of a stack given from the bottom up: `chain(n) = sha256(chain(n-1) + " " + diff(n))`. */
export function chainId(diffIds: readonly Digest[]): ChainId | undefined {
  let chain: Digest | undefined;
  for (const id of diffIds) chain = chain === undefined ? id : digestOf(`${chain} ${id}`);
  return chain as ChainId | undefined;
}
