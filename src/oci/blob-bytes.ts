import type { Digest, Digester } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { Descriptor } from './descriptor.ts';

/** Passes chunks on and tells a digester of them. */
export async function* hashed(chunks: AsyncIterable<Uint8Array>, digester: Digester): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of chunks) {
    digester.update(chunk);
    yield chunk;
  }
}

/**
 * Throws `integrity` where bytes are not what their descriptor says.
 * @param digest of the bytes; left out where their source has verified them
 */
export function assertBytes(name: string, descriptor: Descriptor, sizeBytes: number, digest: Digest = descriptor.digest): void {
  if (digest === descriptor.digest && sizeBytes === descriptor.size) return;
  throw wrongBytes(name, descriptor, sizeBytes, digest);
}

/** @param found digest of the bytes; `undefined` where their length alone tells */
export function wrongBytes(
  name: string,
  { digest, size }: Descriptor,
  foundBytes: number,
  found: Digest | undefined,
): StkError {
  return new StkError('integrity', `${name}: bytes do not match blob ${digest}`, {
    hint: 'the blob was damaged or replaced; remove it and fetch or build it again',
    facts: { digest, ...(found === undefined ? {} : { found }), sizeBytes: size, foundBytes },
  });
}
