import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { StkError, isStkError, throwIfAborted } from '../core/errors.ts';
import { xzDecompress } from '../host/tools/xz.ts';
import { lz4Decode } from './lz4-decode.ts';
import { CorruptBlock } from './malformed.ts';
import { xzContentBytes } from './xz-stream.ts';
import { zstdDecode } from './zstd-decode.ts';

/** Compressors by their number in the superblock. */
export const COMPRESSIONS = ['gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/**
 * Decodes the blocks of one image. Every result holds at most `maxBytes`, whatever the input says; more, or damaged input,
 * is a `CorruptBlock`. Results belong to the caller.
 */
export interface Decompressor {
  readonly compression: Compression;
  /** Whether blocks are decoded by an external process, so that many should go into one call. */
  readonly batched: boolean;
  /** One small block, at once where the decoder can. */
  one(block: Uint8Array, maxBytes: number, signal?: AbortSignal): Buffer | Promise<Buffer>;
  /** Many blocks in order, off the main thread where Node can. The caller bounds how many. */
  many(blocks: readonly Uint8Array[], maxBytes: number, signal?: AbortSignal): Promise<readonly Buffer[]>;
}

interface Limits {
  readonly maxOutputLength: number;
}
/** What newer versions of Node have and the types of the oldest supported one lack. */
const zstd = zlib as unknown as {
  readonly zstdDecompress?: (
    data: Uint8Array,
    options: Limits,
    done: (error: Error | null, result: Buffer) => void,
  ) => void;
  readonly zstdDecompressSync?: (data: Uint8Array, options: Limits) => Buffer;
};

const inflate = promisify<Uint8Array, Limits, Buffer>(zlib.inflate);

/** The decompressor for an image's compressor. Throws `unsupported` for lzo, which nothing at hand decodes. */
export function decompressorFor(compression: Compression): Decompressor {
  switch (compression) {
    case 'gzip':
      return native(compression, zlib.inflateSync, inflate);
    case 'zstd':
      return zstd.zstdDecompress && zstd.zstdDecompressSync
        ? native(compression, zstd.zstdDecompressSync, promisify<Uint8Array, Limits, Buffer>(zstd.zstdDecompress))
        : scripted(compression, zstdDecode);
    case 'lz4':
      return scripted(compression, lz4Decode);
    case 'xz':
      return { compression, batched: true, one: xzOne, many: xzMany };
    case 'lzma':
      return { compression, batched: false, one: lzmaOne, many: lzmaMany };
    case 'lzo':
      throw new StkError('unsupported', 'squashfs images compressed with lzo cannot be read', {
        hint: 'pack the image again with zstd',
        facts: { compression },
      });
  }
}

function native(
  compression: Compression,
  sync: (data: Uint8Array, options: Limits) => Buffer,
  async: (data: Uint8Array, options: Limits) => Promise<Buffer>,
): Decompressor {
  return {
    compression,
    batched: false,
    one(block, maxBytes) {
      try {
        return sync(block, { maxOutputLength: maxBytes });
      } catch (error) {
        throw corrupt(compression, error);
      }
    },
    async many(blocks, maxBytes, signal) {
      throwIfAborted(signal);
      const decode = (block: Uint8Array) =>
        async(block, { maxOutputLength: maxBytes }).catch((error: unknown) => {
          throw corrupt(compression, error);
        });
      return Promise.all(blocks.map(decode));
    },
  };
}

function scripted(compression: Compression, decode: (block: Uint8Array, maxBytes: number) => Buffer): Decompressor {
  return {
    compression,
    batched: false,
    one: decode,
    async many(blocks, maxBytes, signal) {
      const results: Buffer[] = [];
      for (const block of blocks) {
        throwIfAborted(signal);
        results.push(decode(block, maxBytes));
        // This runs on the main thread: others get their turn after each block.
        if (blocks.length > 1) await setImmediate();
      }
      return results;
    },
  };
}

async function xzOne(block: Uint8Array, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  const [only] = await xzMany([block], maxBytes, signal);
  return only!;
}

async function xzMany(
  blocks: readonly Uint8Array[],
  maxBytes: number,
  signal?: AbortSignal,
): Promise<readonly Buffer[]> {
  const sizes = blocks.map(xzContentBytes);
  if (sizes.some(size => size > maxBytes)) throw new CorruptBlock(`xz block holds more than ${maxBytes} bytes`);
  const all = await xzDecompress(Buffer.concat(blocks), 'xz', signal).catch(toolFailure);
  if (all.length !== sizes.reduce((sum, size) => sum + size, 0)) throw new CorruptBlock('xz block has a wrong length');
  let at = 0;
  return sizes.map(size => all.subarray(at, (at += size)));
}

async function lzmaOne(block: Uint8Array, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  // The .lzma header: properties, dictionary size, then the content's size in 8 bytes, which squashfs always fills in.
  const header = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const stated = header.length >= 13 ? header.readUInt32LE(5) + header.readUInt32LE(9) * 2 ** 32 : Infinity;
  if (stated > maxBytes) throw new CorruptBlock(`lzma block holds more than ${maxBytes} bytes`);
  const data = await xzDecompress(block, 'lzma', signal).catch(toolFailure);
  if (data.length !== stated) throw new CorruptBlock('lzma block has a wrong length');
  return data;
}

async function lzmaMany(
  blocks: readonly Uint8Array[],
  maxBytes: number,
  signal?: AbortSignal,
): Promise<readonly Buffer[]> {
  const results: Buffer[] = [];
  for (const block of blocks) results.push(await lzmaOne(block, maxBytes, signal));
  return results;
}

function toolFailure(error: unknown): never {
  throw isStkError(error, 'tool-failed') ? corrupt('xz', error) : error;
}

function corrupt(compression: Compression, cause: unknown): CorruptBlock {
  return new CorruptBlock(`${compression} block does not decode`, { cause });
}
