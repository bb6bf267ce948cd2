import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { closeSync, openSync, writeSync } from '../host/files.ts';

/** Bytes of a layer, from an offset. */
export type Range = readonly [offset: number, length: number];

/** What a start reads of the layers of an image, in order. */
export interface ReadTrace {
  readonly version: 1;
  /** Digests of layers. */
  readonly layers: readonly Digest[];
  /** Which of them, from where, how much; in bytes. */
  readonly reads: readonly (readonly [layer: number, offset: number, length: number])[];
}

/** Places are told in the unit of fetching. */
const UNIT_BYTES = 64 * 1024;
/** Of a trace: 3 GiB of reads in pieces that touch nowhere. */
const MAX_READS = 50_000;

/** Writes down which pieces of blobs are read first, in order: a line for each, its digest and its number. */
export class TraceRecorder implements AsyncDisposable {
  readonly #fd: number;
  readonly #seen = new Set<string>();
  #open = true;

  constructor(file: AbsPath) {
    this.#fd = openSync(file, 'a', 0o600);
  }

  add(digest: Digest, offset: number, length: number): void {
    for (let piece = Math.floor(offset / UNIT_BYTES); piece * UNIT_BYTES < offset + length; piece++) {
      const line = `${digest} ${piece}\n`;
      if (!this.#open || this.#seen.has(line)) continue;
      this.#seen.add(line);
      writeSync(this.#fd, line);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}

/** The trace of what a `TraceRecorder` wrote; neighbours that follow each other are one read. */
export function recordedTrace(text: string): ReadTrace {
  const layers: Digest[] = [];
  const reads: [number, number, number][] = [];
  for (const line of text.split('\n')) {
    const [digest, piece] = line.split(' ');
    if (!isDigest(digest) || !/^\d{1,9}$/.test(piece ?? '')) continue;
    if (!layers.includes(digest)) layers.push(digest);
    const [layer, offset] = [layers.indexOf(digest), Number(piece) * UNIT_BYTES];
    const last = reads.at(-1);
    if (last && last[0] === layer && last[1] + last[2] === offset) last[2] += UNIT_BYTES;
    else if (reads.length < MAX_READS) reads.push([layer, offset, UNIT_BYTES]);
  }
  return { version: 1, layers, reads };
}

/** Takes apart a trace of anybody's making: it changes speed, never content. Throws `invalid-input`. */
export function parseTrace(text: string): ReadTrace {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new StkError('invalid-input', 'a trace of reads is not JSON', { cause });
  }
  const { version, layers, reads } = (value ?? {}) as Partial<Readonly<Record<string, unknown>>>;
  const isWhole = (number: unknown) => Number.isSafeInteger(number) && Number(number) >= 0;
  const isRead = (read: unknown) => Array.isArray(read) && read.length === 3 && read.every(isWhole);
  const isTrace =
    version === 1 && Array.isArray(layers) && layers.every(isDigest) && Array.isArray(reads) && reads.every(isRead);
  if (!isTrace || reads.length > MAX_READS) throw new StkError('invalid-input', 'a trace of reads is malformed');
  return { version, layers, reads: reads as ReadTrace['reads'] };
}

/** What a trace says of one layer, in order. */
export function rangesOf({ layers, reads }: ReadTrace, digest: Digest): readonly Range[] {
  const index = layers.indexOf(digest);
  return reads.flatMap(([layer, offset, length]) => (layer === index ? [[offset, length] as const] : []));
}
