import { StkError, errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { openFileReader } from '../host/file-reader.ts';
import { realpath, stat } from '../host/files.ts';
import { locateVerity } from '../layer/verity-format.ts';
import { MediaType } from '../oci/media-types.ts';
import { openSquashfs } from '../squashfs/squashfs-reader.ts';
import type { Superblock } from '../squashfs/superblock.ts';
import { tellDamage, type SuspectLayer } from '../layer/find-fault.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { FarLayer, ImageLayer } from './image-layers.ts';

/**
 * A layer whose file was looked at: it is a regular file of the size that the manifest promises and begins with a sound
 * superblock. Its path is free of links.
 */
export interface InspectedLayer extends ImageLayer {
  /** Changes when the blob's file is replaced by another one. */
  readonly identity: string;
  /** Where the verity superblock lies in the file; `undefined` where there is no room for one. */
  readonly verityOffset: number | undefined;
}

/**
 * Looks at a layer's file before anything is mounted. Throws `not-found` for a missing blob, `integrity` where its size
 * is not the manifest's, and `invalid-input` where it is no squashfs image, a truncated one, or compressed otherwise than
 * its media type says.
 */
export async function inspectLayer(layer: ImageLayer, signal?: AbortSignal): Promise<InspectedLayer> {
  if (layer.far) return inspectFar(layer, layer.far, signal);
  const { descriptor } = layer;
  const file = (await realpath(layer.file).catch((cause: unknown) => {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new StkError('not-found', `layer ${descriptor.digest} is not in the layout`, {
      cause,
      hint: 'fetch the image again: the layout lacks one of its blobs',
      facts: { path: layer.file },
    });
  })) as AbsPath;
  const stats = await stat(file, { bigint: true });
  const { sizeBytes, superblock } = await readTables({ file, descriptor }, signal);
  assertCompression(descriptor, superblock);
  const verityOffset = locateVerity(sizeBytes, superblock.bytesUsed);
  if (layer.verityRoot !== undefined && verityOffset === undefined) {
    throw new StkError('integrity', `layer ${descriptor.digest} has a verity root hash but no verity tree`, {
      hint: 'the blob was cut off; fetch or build it again',
      facts: { path: file },
    });
  }
  const identity = [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':');
  return { ...layer, file, identity, verityOffset };
}

/** What is read of it was checked on the way; a size that is wrong would have no verity tree. */
async function inspectFar(layer: ImageLayer, far: FarLayer, signal?: AbortSignal): Promise<InspectedLayer> {
  const { descriptor } = layer;
  await using image = await openSquashfs(await far.open(signal), signal);
  await image.root(signal);
  assertCompression(descriptor, image.superblock);
  const verityOffset = locateVerity(descriptor.size, image.superblock.bytesUsed);
  return { ...layer, identity: `far:${descriptor.digest}`, verityOffset };
}

function assertCompression(descriptor: Descriptor, superblock: Superblock): void {
  const said = descriptor.mediaType.slice(MediaType.layerSquashfs.length + 1);
  if (said === '' || said === superblock.compression) return;
  const is = `its media type says ${said}, its bytes are ${superblock.compression}`;
  throw new StkError('invalid-input', `layer ${descriptor.digest} is not what it says: ${is}`, {
    hint: 'the manifest is wrong about this blob; do not trust the image, or have its maker mend it',
    facts: { mediaType: descriptor.mediaType, compression: superblock.compression },
  });
}

/**
 * What the tables of an image say that every reader needs first, read by code that no image can hurt. Where they are wrong,
 * the whole file is read to tell a damaged blob from an image that was made so.
 */
async function readTables(
  layer: SuspectLayer,
  signal: AbortSignal | undefined,
): Promise<{ readonly sizeBytes: number; readonly superblock: Superblock }> {
  const { file, descriptor } = layer;
  const reader = await openFileReader(file);
  const { sizeBytes } = reader;
  if (sizeBytes !== descriptor.size) {
    await reader[Symbol.asyncDispose]();
    throw new StkError('integrity', `layer ${descriptor.digest} is ${sizeBytes} bytes long, not ${descriptor.size}`, {
      hint: 'the blob was cut off or replaced; remove it and fetch or build it again',
      facts: { path: file, sizeBytes, expectedBytes: descriptor.size },
    });
  }
  try {
    await using image = await openSquashfs(reader, signal);
    await image.root(signal);
    return { sizeBytes, superblock: image.superblock };
  } catch (error) {
    return tellDamage(error, [layer], signal);
  }
}
