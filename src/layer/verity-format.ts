import { StkError } from '../core/errors.ts';

/** Data and hash blocks of the trees that are written; others are read if the kernel could. */
export const VERITY_BLOCK_BYTES = 4096;
export const VERITY_HASH_BYTES = 32;
const SUPERBLOCK_BYTES = 512;
const MAGIC = Buffer.from('verity\0\0', 'latin1');
const MAX_SALT_BYTES = 256;
const MAX_BLOCK_BYTES = 64 * 1024;

/** Superblock of a dm-verity hash area (cryptsetup wiki, "DMVerity", on-disk format version 1). */
export interface VeritySuperblock {
  readonly dataBlockBytes: number;
  readonly hashBlockBytes: number;
  readonly dataBlocks: number;
  readonly salt: Buffer;
  readonly uuid: Buffer;
}

export function formatVeritySuperblock(superblock: VeritySuperblock): Buffer {
  const bytes = Buffer.alloc(SUPERBLOCK_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(1, 12);
  superblock.uuid.copy(bytes, 16, 0, 16);
  bytes.write('sha256', 32, 'latin1');
  bytes.writeUInt32LE(superblock.dataBlockBytes, 64);
  bytes.writeUInt32LE(superblock.hashBlockBytes, 68);
  bytes.writeBigUInt64LE(BigInt(superblock.dataBlocks), 72);
  bytes.writeUInt16LE(superblock.salt.length, 80);
  superblock.salt.copy(bytes, 88);
  return bytes;
}

/** Parses and bounds a superblock; `integrity` where it is none, `unsupported` where it is one of another kind. */
export function parseVeritySuperblock(bytes: Buffer): VeritySuperblock {
  if (bytes.length < SUPERBLOCK_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) {
    throw new StkError('integrity', 'there is no verity superblock where one is expected');
  }
  const algorithm = bytes.toString('latin1', 32, 64).replace(/\0.*$/s, '');
  if (bytes.readUInt32LE(8) !== 1 || bytes.readUInt32LE(12) !== 1 || algorithm !== 'sha256') {
    throw new StkError('unsupported', 'only verity format 1 with sha256 is understood');
  }
  const dataBlockBytes = blockSize(bytes.readUInt32LE(64));
  const hashBlockBytes = blockSize(bytes.readUInt32LE(68));
  const dataBlocks = Number(bytes.readBigUInt64LE(72));
  const saltBytes = bytes.readUInt16LE(80);
  if (saltBytes > MAX_SALT_BYTES || dataBlocks < 1 || dataBlocks > Number.MAX_SAFE_INTEGER / MAX_BLOCK_BYTES) {
    throw new StkError('integrity', 'the verity superblock has impossible fields');
  }
  return {
    dataBlockBytes,
    hashBlockBytes,
    dataBlocks,
    salt: Buffer.from(bytes.subarray(88, 88 + saltBytes)),
    uuid: Buffer.from(bytes.subarray(16, 32)),
  };
}

function blockSize(size: number): number {
  if (size >= 512 && size <= MAX_BLOCK_BYTES && (size & (size - 1)) === 0) return size;
  throw new StkError('integrity', 'the verity superblock has impossible fields', { facts: { blockSize: size } });
}

/** Blocks of one level of a hash tree, counted from the leaves, and where it starts relative to the tree. */
export interface VerityLevel {
  readonly blocks: number;
  readonly firstBlock: number;
}

/** Levels from the leaves up; on disk the topmost comes first. A single data block has none: its hash is the root. */
export function verityLevels(dataBlocks: number, hashBlockBytes: number): readonly VerityLevel[] {
  const perBlock = hashBlockBytes / VERITY_HASH_BYTES;
  const counts: number[] = [];
  for (let blocks = dataBlocks; blocks > 1;) {
    blocks = Math.ceil(blocks / perBlock);
    counts.push(blocks);
  }
  let firstBlock = counts.reduce((sum, blocks) => sum + blocks, 0);
  return counts.map(blocks => ({ blocks, firstBlock: (firstBlock -= blocks) }));
}

/**
 * Where the verity area of a squashfs blob starts: at the next 4 KiB after the image. `undefined` where the blob ends
 * before a superblock could stand there.
 *
 * @param bytesUsed the image's size from its own superblock
 */
export function locateVerity(sizeBytes: number, bytesUsed: number): number | undefined {
  const offset = Math.ceil(bytesUsed / VERITY_BLOCK_BYTES) * VERITY_BLOCK_BYTES;
  return sizeBytes >= offset + SUPERBLOCK_BYTES ? offset : undefined;
}
