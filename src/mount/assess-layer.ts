import { StkError } from '../core/errors.ts';
import type { Digest } from '../core/digest.ts';
import { readPrivileges } from '../host/privileges.ts';
import { findOtherWriter } from '../host/root-only.ts';
import { PackedRecord } from '../layer/packed-record.ts';
import type { LayerFacts } from './choose-method.ts';
import type { InspectedLayer } from './inspect-layer.ts';

/** A layer, and what is known of it that its image does not say. */
export type AssessedLayer = InspectedLayer & LayerFacts;

/** Says which layers a signature covers that the caller demanded. */
export type SignedLayers = (digest: Digest) => boolean;

/**
 * Finds out why a layer's bytes are known to be harmless: they were packed here, or are signed as demanded. It is asked for
 * real root alone, since the kernel mounts nothing for others. Of a layer that was packed here the record knows size and root
 * hash, whatever the manifest says. Throws `integrity` where that contradicts them.
 */
export async function assessLayer(layer: InspectedLayer, isSigned: SignedLayers): Promise<AssessedLayer> {
  const unknown = { ...layer, known: undefined, otherWriter: undefined, isFar: layer.far !== undefined };
  const { uid, initialUserNamespace } = await readPrivileges();
  if (uid !== 0 || !initialUserNamespace) return unknown;
  const { digest, size } = layer.descriptor;
  const packed = await new PackedRecord().find(digest);
  if (!packed && !isSigned(digest)) return unknown;
  // Every block of a far one is checked on its way.
  const otherWriter = unknown.isFar ? undefined : await findOtherWriter(layer.file);
  if (!packed) return { ...unknown, known: 'signed', otherWriter };
  const { sizeBytes, verityRoot } = packed;
  if (sizeBytes !== size || (layer.verityRoot !== undefined && layer.verityRoot !== verityRoot)) {
    throw new StkError('integrity', `the manifest lies about layer ${digest}, which was packed on this machine`, {
      hint: 'its size or verity root hash is another one; do not trust the image, or fetch it again',
      facts: { digest, sizeBytes: size, expectedBytes: sizeBytes },
    });
  }
  return { ...unknown, verityRoot, known: 'packed-here', otherWriter };
}
