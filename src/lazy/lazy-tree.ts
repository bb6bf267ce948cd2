import { isStkError, StkError } from '../core/errors.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { parseVeritySuperblock } from '../layer/verity-format.ts';
import type { BlobParts } from './part-file.ts';
import type { FetchSource } from './patient-source.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { RecentPieces } from './recent-pieces.ts';
import { VerityHashes, dataBlocksOf, type TreeReader } from './verity-hashes.ts';

const BLOCK_BYTES = 4096;
/** Of the tree: its leaves vouch for 8 MiB of data. */
const PIECE_BYTES = 64 * 1024;
/** The end of the data: the tables of a filesystem. */
const TABLES_BYTES = 128 * 1024;
/** The beginning of the tree: its upper levels, and the leaves of a small blob. */
const UPPER_BYTES = 128 * 1024;

interface LazyTreeOptions {
  readonly descriptor: Descriptor;
  readonly name: string;
  readonly source: FetchSource;
  readonly parts: BlobParts;
}

/**
 * The verity tree of a blob in a registry. Its blocks are taken from what is at hand where they are right there, else from
 * the registry, by pieces, and kept once they were found right.
 */
export class LazyTree implements TreeReader {
  readonly name: string;
  readonly sizeBytes: number;
  readonly #options: LazyTreeOptions;
  readonly #dataBytes: number;
  readonly #flights = new SingleFlight<number, Buffer>();
  readonly #recent = new RecentPieces();
  /** The ends of the data as they came with the tree, not checked. */
  #ends: readonly { readonly offset: number; readonly bytes: Buffer }[] = [];
  #superblock: Buffer | undefined;
  /** Whether the superblock at hand is to be passed over. */
  #distrusts = false;

  constructor(options: LazyTreeOptions) {
    const { descriptor, name } = options;
    this.#options = options;
    this.name = name;
    this.sizeBytes = descriptor.size;
    const blocks = dataBlocksOf(descriptor.size);
    if (blocks === undefined) {
      throw new StkError('integrity', `${name}: ${descriptor.digest} has no verity tree that can be used`, {
        hint: 'its length is not that of data with a verity tree; fetch the image as a whole',
        facts: { digest: descriptor.digest, sizeBytes: descriptor.size },
      });
    }
    this.#dataBytes = blocks * BLOCK_BYTES;
  }

  /** The hashes, once the first of them was found to follow from the root. */
  async open(root: string, signal?: AbortSignal): Promise<VerityHashes> {
    try {
      return await this.#open(root, signal);
    } catch (error) {
      // No hash covers the salt; a wrong one at hand makes everything look wrong.
      if (this.#distrusts || !isStkError(error, 'integrity', 'unsupported')) throw error;
      this.#distrusts = true;
      return this.#open(root, signal);
    }
  }

  async #open(root: string, signal?: AbortSignal): Promise<VerityHashes> {
    const hashes = await VerityHashes.open(this, root, signal);
    await hashes.expected(0, 1, signal);
    if (this.#superblock) await this.#options.parts.write(this.#dataBytes, this.#superblock);
    this.#superblock = undefined;
    return hashes;
  }

  /** The superblock: the only block that is not read by its hash. */
  async readAt(offset: number, length: number): Promise<Buffer> {
    const kept = await this.#options.parts.read(offset, length);
    if (!this.#distrusts && isSuperblock(kept)) return kept;
    this.#distrusts = true;
    await this.#fetchEnds();
    this.#superblock = await this.#fromPiece(0, 0, length);
    return this.#superblock;
  }

  async readRight(offset: number, length: number, isRight: (bytes: Buffer) => boolean): Promise<Buffer> {
    const { parts } = this.#options;
    const kept = await parts.read(offset, length);
    if (isRight(kept)) return kept;
    const at = offset - this.#dataBytes;
    const piece = Math.floor(at / PIECE_BYTES);
    const within = at - piece * PIECE_BYTES;
    let bytes = await this.#fromPiece(piece, within, length);
    if (!isRight(bytes)) {
      this.#recent.forget(piece);
      bytes = await this.#fromPiece(piece, within, length);
    }
    if (isRight(bytes)) await parts.write(offset, bytes);
    return bytes;
  }

  /** Data that came with the tree: not checked. */
  takeData(start: number, end: number): Buffer | undefined {
    const found = this.#ends.find(({ offset, bytes }) => start >= offset && end <= offset + bytes.length);
    return found && Buffer.from(found.bytes.subarray(start - found.offset, end - found.offset));
  }

  /**
   * What every reader of a filesystem asks for first, at once: its superblock, the tables at the end of the data and the upper
   * levels of the tree behind them, and the hashes of the tables.
   */
  async #fetchEnds(): Promise<void> {
    const wanted = Math.max(0, this.#dataBytes - TABLES_BYTES);
    const offset = Math.floor(wanted / PIECE_BYTES) * PIECE_BYTES;
    const end = Math.min(this.#dataBytes + UPPER_BYTES, this.sizeBytes);
    const lastPiece = Math.floor((this.sizeBytes - 1 - this.#dataBytes) / PIECE_BYTES);
    const [tail, head] = await Promise.all([
      this.#fetch(offset, end - offset),
      offset > 0 ? this.#fetch(0, PIECE_BYTES) : undefined,
      end < this.sizeBytes ? this.#fromPiece(lastPiece, 0, 0) : undefined,
    ]);
    this.#ends = [
      { offset, bytes: tail.subarray(0, this.#dataBytes - offset) },
      ...(head ? [{ offset: 0, bytes: head }] : []),
    ];
    for (let at = this.#dataBytes, piece = 0; at < end; at += PIECE_BYTES, piece++) {
      this.#recent.add(piece, tail.subarray(at - offset, at - offset + PIECE_BYTES));
    }
  }

  async #fromPiece(piece: number, within: number, length: number): Promise<Buffer> {
    const bytes =
      this.#recent.find(piece) ??
      (await this.#flights.run(piece, async () => {
        const start = this.#dataBytes + piece * PIECE_BYTES;
        const fetched = await this.#fetch(start, Math.min(PIECE_BYTES, this.sizeBytes - start));
        this.#recent.add(piece, fetched);
        return fetched;
      }));
    return Buffer.from(bytes.subarray(within, within + length));
  }

  #fetch(offset: number, length: number): Promise<Buffer> {
    return this.#options.source.fetch(this.#options.descriptor, offset, length, { priority: 'demand' });
  }
}

function isSuperblock(bytes: Buffer): boolean {
  try {
    parseVeritySuperblock(bytes);
    return true;
  } catch {
    return false;
  }
}
