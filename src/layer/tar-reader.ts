import { ByteSource, type ChunkSource } from './byte-source.ts';
import { fieldNumber, isZeroBlock, parseTarHeader, type TarHeader } from './tar-header.ts';
import { entryFrom, HEADER_ONLY, type Extensions } from './tar-extensions.ts';
import { TAR_BLOCK_BYTES, tarPadding, type SparseSegment, type TarEntry } from './tar-entry.ts';
import { tarError } from './tar-error.ts';
import { parsePaxRecords, type PaxRecords } from './tar-pax.ts';
import {
  MAX_NUMBER_DIGITS,
  MAX_SPARSE_SEGMENTS,
  checkSparseMap,
  decimal,
  oldSparsePairs,
  pairs,
} from './tar-sparse.ts';

/** Largest pax header or GNU long name, in bytes. */
const MAX_EXTENSION_BYTES = 1024 * 1024;

/**
 * Reads a tar archive as a stream: v7, ustar, GNU and pax dialects (GNU long names, base-256 numbers, sparse files of
 * all four kinds, xattrs of star and libarchive). Everything wrong with the archive is `invalid-input`; an archive
 * without its closing zero blocks is accepted, and so is whatever follows them.
 */
export class TarReader implements AsyncDisposable {
  readonly #source: ByteSource;
  #globals: PaxRecords = [];
  #bodyLeft = 0;
  #padding = 0;
  #ended = false;

  constructor(chunks: ChunkSource) {
    this.#source = new ByteSource(chunks);
  }

  /** Where in the archive the next byte of the current body lies. */
  get bodyOffset(): number {
    return this.#source.position;
  }

  /** The next entry, whose body can then be read; what was left of the previous one is skipped. `undefined` at the end. */
  async next(): Promise<TarEntry | undefined> {
    if (this.#ended) return undefined;
    await this.#skip(this.#bodyLeft, this.#padding);
    let extensions: Extensions = {};
    for (;;) {
      const block = await this.#nextBlock();
      if (block === undefined) {
        if (Object.keys(extensions).length > 0) throw tarError('it ends after an extended header');
        return undefined;
      }
      const header = parseTarHeader(block);
      const sizeBytes = this.#bodySize(header, extensions);
      switch (header.typeFlag) {
        case 'x':
        case 'X':
          extensions = { ...extensions, pax: parsePaxRecords(await this.#extension(sizeBytes)) };
          break;
        case 'g':
          this.#globals = withGlobals(this.#globals, parsePaxRecords(await this.#extension(sizeBytes)));
          break;
        case 'L':
          extensions = { ...extensions, longPath: longName(await this.#extension(sizeBytes)) };
          break;
        case 'K':
          extensions = { ...extensions, longLinkPath: longName(await this.#extension(sizeBytes)) };
          break;
        case 'V':
          await this.#skip(sizeBytes, tarPadding(sizeBytes));
          extensions = {};
          break;
        default:
          return this.#entry(header, block, sizeBytes, extensions);
      }
    }
  }

  /** The next piece of the current body, as large as it comes; `undefined` at its end. Valid until the next call. */
  async readBody(): Promise<Buffer | undefined> {
    if (this.#bodyLeft === 0) {
      if (this.#padding > 0) {
        const padding = this.#padding;
        this.#padding = 0;
        // Archives cut off in their last padding are common enough.
        await this.#source.takeUpTo(padding);
      }
      return undefined;
    }
    const piece = await this.#source.takeSome(this.#bodyLeft);
    if (piece === undefined) throw tarError('the archive ends in the middle of a file');
    this.#bodyLeft -= piece.length;
    return piece;
  }

  /** Reads whatever follows the archive, so that a digest over the stream is complete. */
  async drain(): Promise<void> {
    await this.#source.drain();
  }

  /** Gives the stream back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source.close();
  }

  async #nextBlock(): Promise<Buffer | undefined> {
    const block = this.#source.takeNow(TAR_BLOCK_BYTES) ?? (await this.#source.take(TAR_BLOCK_BYTES));
    if (block && !isZeroBlock(block)) return block;
    this.#ended = true;
    if (block === undefined) return undefined;
    const second = await this.#source.takeUpTo(TAR_BLOCK_BYTES);
    if (second.some(byte => byte !== 0)) throw tarError('a block of zeros stands between entries');
    return undefined;
  }

  #bodySize(header: TarHeader, extensions: Extensions): number {
    if (HEADER_ONLY.has(header.typeFlag)) return 0;
    let size = header.sizeBytes;
    // Records before an extension header are about the entry to come, never about the extension itself.
    if (!'xXgLK'.includes(header.typeFlag)) {
      for (const [key, value] of [...this.#globals, ...(extensions.pax ?? [])]) {
        if (key === 'size' && value.length > 0) size = decimalSize(value);
      }
    }
    if (!Number.isSafeInteger(size) || size < 0) throw tarError('an entry has an impossible size');
    return size;
  }

  async #extension(sizeBytes: number): Promise<Buffer> {
    if (sizeBytes > MAX_EXTENSION_BYTES) throw tarError(`an extended header of ${sizeBytes} bytes`);
    if (sizeBytes === 0) return Buffer.alloc(0);
    const body = await this.#source.take(sizeBytes + tarPadding(sizeBytes));
    if (body === undefined) throw tarError('the archive ends in the middle of an extended header');
    // A copy, because records outlive the chunk they came in.
    return Buffer.from(body.subarray(0, sizeBytes));
  }

  async #skip(sizeBytes: number, padding: number): Promise<void> {
    [this.#bodyLeft, this.#padding] = [0, 0];
    if (!(await this.#source.skip(sizeBytes))) throw tarError('the archive ends in the middle of a file');
    // Archives cut off in their last padding are common enough.
    await this.#source.skip(padding);
  }

  async #entry(header: TarHeader, block: Buffer, stored: number, extensions: Extensions): Promise<TarEntry> {
    const entry = entryFrom(header, this.#globals, extensions);
    this.#bodyLeft = stored;
    this.#padding = tarPadding(stored);
    if (entry.type !== 'file') {
      await this.#skip(stored, tarPadding(stored));
      return { ...entry, sizeBytes: 0 };
    }
    if (header.typeFlag === 'S') return this.#oldSparse(entry, block, stored);
    if (entry.sparseSize === undefined) return { ...entry, sizeBytes: stored };
    const sparse = entry.segments ?? (await this.#sparseMapInBody());
    checkSparseMap(sparse, entry.sparseSize, this.#bodyLeft);
    return { ...entry, sizeBytes: entry.sparseSize, sparse };
  }

  async #oldSparse(entry: TarEntry, block: Buffer, stored: number): Promise<TarEntry> {
    const segments: SparseSegment[] = oldSparsePairs(block, 386, 4);
    const sizeBytes = parseRealSize(block);
    let more = block[482] !== 0;
    while (more) {
      const extension = await this.#source.take(TAR_BLOCK_BYTES);
      if (extension === undefined) throw tarError('the archive ends in the middle of a sparse map');
      segments.push(...oldSparsePairs(extension, 0, 21));
      if (segments.length > MAX_SPARSE_SEGMENTS) throw tarError('a sparse file has too many stretches');
      more = extension[504] !== 0;
    }
    const sparse = segments.filter(segment => segment.length > 0);
    checkSparseMap(sparse, sizeBytes, stored);
    return { ...entry, sizeBytes, sparse };
  }

  /** Format 1.0: decimal numbers on lines of their own, the count first, padded to a block. */
  async #sparseMapInBody(): Promise<SparseSegment[]> {
    const numbers: number[] = [];
    let rest = '';
    let wanted = 1;
    while (numbers.length < wanted) {
      if (this.#bodyLeft < TAR_BLOCK_BYTES) throw tarError('a sparse map is longer than its file');
      const block = await this.#source.take(TAR_BLOCK_BYTES);
      if (block === undefined) throw tarError('the archive ends in the middle of a sparse map');
      this.#bodyLeft -= TAR_BLOCK_BYTES;
      const lines = (rest + block.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (numbers.length === wanted) break;
        numbers.push(decimal(line));
        if (numbers.length === 1) {
          if (numbers[0]! > MAX_SPARSE_SEGMENTS) throw tarError('a sparse file has too many stretches');
          wanted = 1 + 2 * numbers[0]!;
        }
      }
      const isPadding = numbers.length === wanted;
      if (!isPadding && rest.length > MAX_NUMBER_DIGITS) throw tarError('a sparse file has a malformed number');
    }
    return pairs(numbers.slice(1));
  }
}

/** Later records replace earlier ones of their key. Together they are no larger than one header. */
function withGlobals(globals: PaxRecords, more: PaxRecords): PaxRecords {
  const merged = new Map([...globals, ...more]);
  let sizeBytes = 0;
  for (const [key, value] of merged) sizeBytes += key.length + value.length;
  if (sizeBytes > MAX_EXTENSION_BYTES)
    throw tarError(`global extended headers of more than ${MAX_EXTENSION_BYTES} bytes`);
  // Copies, because a value is a part of its header.
  return [...merged].map(([key, value]) => [key, Buffer.from(value)] as const);
}

function longName(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString('latin1', 0, end < 0 ? body.length : end);
}

function decimalSize(value: Buffer): number {
  const text = value.toString('latin1');
  return /^\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
}

function parseRealSize(block: Buffer): number {
  const size = fieldNumber(block, 483, 12);
  if (!Number.isSafeInteger(size) || size < 0) throw tarError('a sparse file has an impossible size');
  return size;
}
