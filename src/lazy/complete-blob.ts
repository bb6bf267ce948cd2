import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { publishFile, temporaryName } from '../host/atomic-write.ts';
import { link, rm } from '../host/files.ts';
import { assertBlob } from '../layer/find-fault.ts';
import type { LazyBlob } from './lazy-blob.ts';

/** What is asked for at once. */
const STRIDE_BYTES = 1 << 20;

export interface BlobToComplete {
  readonly reader: LazyBlob;
  readonly digest: Digest;
  /** Length of the blob. */
  readonly sizeBytes: number;
  /** The sparse file that its parts are kept in. */
  readonly parts: AbsPath;
  /** Where the whole blob is to appear, on the same filesystem. */
  readonly target: AbsPath;
}

/**
 * Fetches what is missing of a blob, one request at a time and after everybody who waits, and gives the whole file, compared
 * with its digest, its name among the blobs of a layout. Throws `integrity` where the hash tree is right and the digest is not.
 */
export async function completeBlob(blob: BlobToComplete, signal: AbortSignal): Promise<void> {
  const { reader, digest, sizeBytes, parts, target } = blob;
  for (let offset = 0; offset < reader.sizeBytes; offset += STRIDE_BYTES) {
    await reader.prefetch(offset, STRIDE_BYTES, 'background', signal);
  }
  await assertBlob({ file: parts, descriptor: { digest, size: sizeBytes } }, signal);
  const temporary = temporaryName(target);
  await link(parts, temporary);
  try {
    await publishFile(temporary, target);
  } finally {
    // A rename onto another name of the same file does nothing.
    await rm(temporary, { force: true });
  }
}
