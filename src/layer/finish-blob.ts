import { createHash } from 'node:crypto';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { storageError } from '../host/atomic-write.ts';
import type { FileHandle } from '../host/files.ts';
import type { OutputFile } from '../host/output-file.ts';
import { readPrivileges } from '../host/privileges.ts';
import { openDigester } from '../host/thread-digester.ts';
import { fileChunks } from './file-chunks.ts';
import type { LayerBlob } from './layer-blob.ts';
import { PackedRecord } from './packed-record.ts';
import {
  VERITY_BLOCK_BYTES,
  VERITY_HASH_BYTES,
  formatVeritySuperblock,
  verityLevels,
  type VeritySuperblock,
} from './verity-format.ts';
import { saltedHasher } from './verity-tree.ts';

/** How much of an image's end, where squashfs keeps its tables, decides salt and UUID. */
const SAMPLE_BYTES = 64 * 1024;

export interface FinishOptions {
  readonly verity: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Turns a squashfs image as a tool left it into a layer blob: appends the verity area where wanted,
 * syncs the file, and tells digest and size. The image is read once. Memory for a tree is 1/128 of the image.
 *
 * @param image open for reading and writing; what is written goes through this descriptor
 */
export async function finishBlob(image: Pick<OutputFile, 'file' | 'path'>, options: FinishOptions): Promise<LayerBlob> {
  const { file, path } = image;
  try {
    const imageBytes = await alignImage(file, path);
    const blob = options.verity
      ? await appendVerity(file, imageBytes, options.signal)
      : await digestOnly(file, imageBytes, options.signal);
    await file.sync();
    return blob;
  } catch (error) {
    throw storageError(error, path);
  }
}

/**
 * As `finishBlob`, for an image that a packer of this machine has just written to this very descriptor: where real root ran
 * it, the record says from now on that the layer was packed here.
 */
export async function finishPacked(image: OutputFile, options: FinishOptions): Promise<LayerBlob> {
  const blob = await finishBlob(image, options);
  const { uid, initialUserNamespace } = await readPrivileges();
  if (uid === 0 && initialUserNamespace) await new PackedRecord().remember(blob);
  return blob;
}

/** Pads the image, or cuts the tool's larger padding, to the 4 KiB boundary after `bytes_used` (squashfs 4.0 superblock). */
async function alignImage(file: FileHandle, path: AbsPath): Promise<number> {
  const head = Buffer.alloc(96);
  const { bytesRead } = await file.read(head, 0, head.length, 0);
  const { size } = await file.stat();
  const bytesUsed = bytesRead === head.length ? Number(head.readBigUInt64LE(40)) : 0;
  if (head.toString('latin1', 0, 4) !== 'hsqs' || bytesUsed < head.length || bytesUsed > size) {
    throw new StkError('invalid-input', `${path} is no squashfs image`, { facts: { path } });
  }
  const aligned = Math.ceil(bytesUsed / VERITY_BLOCK_BYTES) * VERITY_BLOCK_BYTES;
  if (aligned !== size) await file.truncate(aligned);
  return aligned;
}

async function digestOnly(file: FileHandle, sizeBytes: number, signal: AbortSignal | undefined): Promise<LayerBlob> {
  const digester = openDigester(sizeBytes);
  try {
    for await (const chunk of fileChunks(file, sizeBytes, signal)) await digester.update(chunk);
    return { digest: await digester.finish(), sizeBytes };
  } finally {
    digester.abandon();
  }
}

/** Appends superblock and tree as `veritysetup format --hash-offset` lays them out. */
async function appendVerity(file: FileHandle, imageBytes: number, signal: AbortSignal | undefined): Promise<LayerBlob> {
  const superblock = await superblockFor(file, imageBytes);
  const digester = openDigester(imageBytes);
  const leaves = Buffer.alloc(superblock.dataBlocks * VERITY_HASH_BYTES);
  const hash = saltedHasher(superblock.salt);
  let at = 0;
  try {
    for await (const chunk of fileChunks(file, imageBytes, signal)) {
      await digester.update(chunk);
      for (let start = 0; start < chunk.length; start += VERITY_BLOCK_BYTES, at += VERITY_HASH_BYTES) {
        hash(chunk.subarray(start, start + VERITY_BLOCK_BYTES), leaves, at);
      }
    }
    const { area, root } = hashArea(superblock, leaves);
    await digester.update(area);
    await file.write(area, 0, area.length, imageBytes);
    return { digest: await digester.finish(), sizeBytes: digester.sizeBytes, verityRoot: root.toString('hex') };
  } finally {
    digester.abandon();
  }
}

/** Salt and UUID come from the image itself, so that the same image gets the same tree. */
async function superblockFor(file: FileHandle, imageBytes: number): Promise<VeritySuperblock> {
  const sample = createHash('sha256').update(`stk verity ${imageBytes} `);
  for (const start of [0, Math.max(0, imageBytes - SAMPLE_BYTES)]) {
    const bytes = Buffer.alloc(Math.min(start === 0 ? VERITY_BLOCK_BYTES : SAMPLE_BYTES, imageBytes - start));
    await file.read(bytes, 0, bytes.length, start);
    sample.update(bytes);
  }
  const salt = sample.digest();
  const uuid = createHash('sha256').update('uuid ').update(salt).digest().subarray(0, 16);
  // RFC 9562: version 8 is for identifiers that an application derives in its own way.
  uuid[6] = (uuid[6]! & 0x0f) | 0x80;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return {
    dataBlockBytes: VERITY_BLOCK_BYTES,
    hashBlockBytes: VERITY_BLOCK_BYTES,
    dataBlocks: imageBytes / VERITY_BLOCK_BYTES,
    salt,
    uuid,
  };
}

/** Superblock and levels from the top down, and the root hash. */
function hashArea(superblock: VeritySuperblock, leaves: Buffer): { readonly area: Buffer; readonly root: Buffer } {
  const levels = verityLevels(superblock.dataBlocks, VERITY_BLOCK_BYTES);
  const blocks = levels.reduce((sum, level) => sum + level.blocks, 0);
  const area = Buffer.alloc((1 + blocks) * VERITY_BLOCK_BYTES);
  formatVeritySuperblock(superblock).copy(area);
  const hash = saltedHasher(superblock.salt);
  let hashes = leaves;
  for (const level of levels) {
    const start = (1 + level.firstBlock) * VERITY_BLOCK_BYTES;
    hashes.copy(area, start);
    hashes = Buffer.alloc(level.blocks * VERITY_HASH_BYTES);
    for (let index = 0; index < level.blocks; index++) {
      const block = start + index * VERITY_BLOCK_BYTES;
      hash(area.subarray(block, block + VERITY_BLOCK_BYTES), hashes, index * VERITY_HASH_BYTES);
    }
  }
  return { area, root: hashes };
}
