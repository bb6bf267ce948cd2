import { createHash } from 'node:crypto';
import type { Digest } from '../core/digest.ts';
import type { Platform } from '../oci/descriptor.ts';
import type { Inventory } from './inventory.ts';

/** What a bill of materials is about. */
export interface SbomSubject {
  /** Of the image, without tag and digest. */
  readonly name: string;
  /** Of its manifest, or of the one layer that is meant. */
  readonly digest: Digest;
  readonly platform: Platform;
  /** `host/path` of the repository, where the image is in a registry. */
  readonly repository?: string | undefined;
  /** RFC 3339: when the image was made, so that its bill of materials is always the same. */
  readonly created: string;
  /** Version of stk. */
  readonly stkVersion: string;
}

/** A UUID that only the same inventory of the same subject has. */
export function documentUuid(subject: SbomSubject, inventory: Inventory, format: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([format, subject, inventory]))
    .digest();
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

/** A problem as documents tell it. */
export function warningText(inventory: Inventory): readonly string[] {
  return inventory.problems.map(
    ({ path, layer, text }) => `/${Buffer.from(path, 'latin1').toString('utf8')} in layer ${layer}: ${text}`,
  );
}
