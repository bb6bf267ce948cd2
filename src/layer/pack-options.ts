import { StkError } from '../core/errors.ts';
import { canonicalJson } from '../core/canonical-json.ts';

export type Compressor = 'zstd' | 'gzip' | 'xz' | 'lz4';

/** How a squashfs layer is written. */
export interface PackOptions {
  readonly compressor: Compressor;
  /** The compressor's own level; absent where it has none (xz, lz4). */
  readonly level?: number;
  /** Size of a data block: a power of two, 4 KiB to 1 MiB. */
  readonly blockSizeBytes: number;
  /** Whether a dm-verity tree is appended. */
  readonly verity: boolean;
}

/** Chosen by measurement: build time first, then size, then the cost of reading lazily. */
export const defaultPackOptions: PackOptions = {
  compressor: 'zstd',
  level: 3,
  blockSizeBytes: 256 * 1024,
  verity: true,
};

interface LevelRange {
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
}

const LEVELS: Readonly<Record<Compressor, LevelRange | undefined>> = {
  zstd: { min: 1, max: 22, fallback: 3 },
  gzip: { min: 1, max: 9, fallback: 6 },
  xz: undefined,
  lz4: undefined,
};

const EXAMPLE = 'write for example zstd, zstd:9, or zstd:9,block=256K';

/**
 * Parses the value of `--compression`: `COMPRESSOR[:LEVEL][,block=SIZE]`, where SIZE is bytes or has a suffix K or M.
 * What is not named comes from `base`. Throws `usage`.
 */
export function parseCompression(text: string, base: PackOptions = defaultPackOptions): PackOptions {
  const [head = '', ...settings] = text.split(',');
  const [name = '', levelText, ...surplus] = head.split(':');
  if (!isCompressor(name) || surplus.length > 0) {
    throw new StkError('usage', `unknown compression: ${text}`, {
      hint: `the compressors are ${Object.keys(LEVELS).join(', ')}; ${EXAMPLE}`,
    });
  }
  const level = parseLevel(name, levelText);
  let { blockSizeBytes } = base;
  for (const setting of settings) {
    const value = /^block=(.+)$/.exec(setting)?.[1];
    if (value === undefined) throw new StkError('usage', `unknown compression setting: ${setting}`, { hint: EXAMPLE });
    blockSizeBytes = parseBlockSize(value);
  }
  return { compressor: name, ...(level === undefined ? {} : { level }), blockSizeBytes, verity: base.verity };
}

function isCompressor(name: string): name is Compressor {
  return Object.hasOwn(LEVELS, name);
}

function parseLevel(compressor: Compressor, text: string | undefined): number | undefined {
  const range = LEVELS[compressor];
  if (text === undefined) return range?.fallback;
  if (range === undefined)
    throw new StkError('usage', `${compressor} has no level`, { hint: `write ${compressor} alone` });
  const level = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (level >= range.min && level <= range.max) return level;
  throw new StkError('usage', `${compressor} has no level ${text}`, {
    hint: `levels go from ${range.min} to ${range.max}`,
  });
}

function parseBlockSize(text: string): number {
  const match = /^(\d{1,8})([KM]?)$/i.exec(text);
  const unit = { '': 1, K: 1024, M: 1024 * 1024 }[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN;
  const size = Number(match?.[1] ?? Number.NaN) * unit;
  if (size >= 4096 && size <= 1024 * 1024 && Number.isInteger(Math.log2(size))) return size;
  throw new StkError('usage', `not a block size: ${text}`, { hint: 'a power of two from 4K to 1M' });
}

/** The same text for the same options: part of every key under which packed layers are remembered. */
export function packOptionsKey(options: PackOptions): string {
  const { compressor, level, blockSizeBytes, verity } = options;
  return canonicalJson({ compressor, level, blockSizeBytes, verity });
}
