import { openFileReader } from '../host/file-reader.ts';
import { errnoOf, isStkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { readBlobFile } from '../oci/read-blob-file.ts';
import { openSquashfs } from '../squashfs/squashfs-reader.ts';

/** Of files, read before a layer counts as sound: many names can share the same blocks, and holes are free. */
const MAX_BYTES = 4 * 1024 ** 3;

/** A layer's file, and what it should hold. */
export interface SuspectLayer {
  readonly file: AbsPath;
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>;
}

/**
 * Looks for what is wrong with a layer that a tool could not use: throws `integrity` where its file is not the blob, and
 * `invalid-input` or `unsupported` where it is no sound squashfs image. Returns where the layer is not to blame. It reads
 * the whole layer: for after a failure.
 */
export async function findFault(layer: SuspectLayer, signal?: AbortSignal): Promise<void> {
  await assertBlob(layer, signal);
  await using image = await openSquashfs(await openFileReader(layer.file), signal);
  let bytes = 0;
  for await (const { node } of image.walk(signal ? { signal } : {})) {
    await image.xattrs(node, signal);
    if (node.type !== 'file') continue;
    for await (const piece of image.openFile(node, signal)) {
      throwIfAborted(signal);
      if ((bytes += piece.byteLength) > MAX_BYTES) return;
    }
  }
}

/** As `findFault`, for all of a stack that failed together; where none of its layers is to blame, the failure goes on. */
export async function blame(failure: unknown, layers: readonly SuspectLayer[], signal?: AbortSignal): Promise<never> {
  // A mounted layer that is wrong answers what reads it with an I/O error.
  const isTheirs = isStkError(failure, 'tool-failed') || ['EIO', 'ESTALE', 'EUCLEAN'].includes(errnoOf(failure) ?? '');
  if (isTheirs) for (const layer of layers) await findFault(layer, signal);
  throw failure;
}

/**
 * Tells a damaged blob from an image that was made so, where reading makes no sense of one of these: throws `integrity` for
 * the former, and the failure itself for anything else.
 */
export async function tellDamage(
  failure: unknown,
  layers: readonly SuspectLayer[],
  signal?: AbortSignal,
): Promise<never> {
  const isTheirs = isStkError(failure, 'invalid-input', 'unsupported');
  if (isTheirs) for (const layer of layers) await assertBlob(layer, signal);
  throw failure;
}

/** Throws `integrity` unless the file is the blob. */
export async function assertBlob({ file, descriptor }: SuspectLayer, signal?: AbortSignal): Promise<void> {
  const blob = { store: file, file, descriptor: { mediaType: '', ...descriptor } };
  for await (const _ of readBlobFile(blob, signal ? { signal } : {})) throwIfAborted(signal);
}
