import os from 'node:os';
import { StkError } from '../../core/errors.ts';

/** Operations of the kernel's FUSE protocol that a read-only server meets (include/uapi/linux/fuse.h, `enum fuse_opcode`). */
export const OPCODE = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
} as const;

/** Sizes of the fixed parts of messages, in bytes. */
const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;

const NOTIFY_RESEND = 7;

/** Node id of the root directory. */
export const ROOT_NODE = 1;

const LITTLE = os.endianness() === 'LE';

/** One request as it came from the device. `body` lies in the receiving buffer: valid until the handler returns. */
export interface FuseRequest {
  readonly opcode: number;
  /** Identifies the request in its answer and in an interrupt; all 64 bits count, the highest marks what is sent again. */
  readonly unique: bigint;
  readonly nodeId: number;
  readonly body: FuseBody;
}

/** Typed access to the bytes of a request after its header. Reading beyond the end is `invalid-input`. */
export class FuseBody {
  readonly #bytes: Buffer;
  readonly #view: DataView;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(at: number): number {
    if (at + 4 > this.#bytes.length) throw cutOff();
    return this.#view.getUint32(at, LITTLE);
  }

  /** As a number; beyond 2^53 it loses its lowest bits, which nothing that stk hands out has. */
  u64(at: number): number {
    if (at + 8 > this.#bytes.length) throw cutOff();
    return getU64(this.#view, at);
  }

  /** All 64 bits, for what is compared or given back. */
  u64Exact(at: number): bigint {
    if (at + 8 > this.#bytes.length) throw cutOff();
    return this.#view.getBigUint64(at, LITTLE);
  }

  /** Whether the request is long enough to have a 32-bit member there: newer kernels add some. */
  has(at: number): boolean {
    return at + 4 <= this.#bytes.length;
  }

  /** The bytes up to a NUL, as a latin1 string of bytes. */
  name(at: number): string {
    const end = this.#bytes.indexOf(0, at);
    if (end < 0) throw cutOff();
    return this.#bytes.toString('latin1', at, end);
  }
}

/** Takes a message apart; `invalid-input` where its length is not what it says. */
export function parseRequest(message: Buffer): FuseRequest {
  if (message.length < IN_HEADER_BYTES) throw cutOff();
  const view = new DataView(message.buffer, message.byteOffset, IN_HEADER_BYTES);
  if (view.getUint32(0, LITTLE) !== message.length) throw cutOff();
  return {
    opcode: view.getUint32(4, LITTLE),
    unique: view.getBigUint64(8, LITTLE),
    nodeId: getU64(view, 16),
    body: new FuseBody(message.subarray(IN_HEADER_BYTES)),
  };
}

/** Fills a zeroed buffer with integers in the machine's byte order; each write moves on. */
export class FuseWriter {
  readonly bytes: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes);
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, sizeBytes);
  }

  u16(value: number): this {
    this.#view.setUint16(this.#at, value, LITTLE);
    this.#at += 2;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value, LITTLE);
    this.#at += 4;
    return this;
  }

  u64(value: number): this {
    setU64(this.#view, this.#at, value);
    this.#at += 8;
    return this;
  }

  skip(sizeBytes: number): this {
    this.#at += sizeBytes;
    return this;
  }

  text(bytes: Buffer): this {
    bytes.copy(this.bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

/** Writes `fuse_out_header`. `errno` is positive, 0 for success. */
export function writeOutHeader(target: Buffer, unique: bigint, errno: number, bodyBytes: number): void {
  const view = new DataView(target.buffer, target.byteOffset, OUT_HEADER_BYTES);
  view.setUint32(0, OUT_HEADER_BYTES + bodyBytes, LITTLE);
  view.setInt32(4, -errno, LITTLE);
  view.setBigUint64(8, unique, LITTLE);
}

/**
 * The notification that has the kernel send again every request that was received and never answered (Linux 6.9,
 * `FUSE_NOTIFY_RESEND`): unique 0, and its code where answers have the error.
 */
export function resendMessage(): Buffer {
  const bytes = Buffer.alloc(OUT_HEADER_BYTES);
  writeOutHeader(bytes, 0n, -NOTIFY_RESEND, 0);
  return bytes;
}

function getU64(view: DataView, at: number): number {
  const [low, high] = LITTLE ? [at, at + 4] : [at + 4, at];
  return view.getUint32(high, LITTLE) * 2 ** 32 + view.getUint32(low, LITTLE);
}

function setU64(view: DataView, at: number, value: number): void {
  const [low, high] = LITTLE ? [at, at + 4] : [at + 4, at];
  view.setUint32(low, value % 2 ** 32, LITTLE);
  view.setUint32(high, Math.floor(value / 2 ** 32), LITTLE);
}

function cutOff(): StkError {
  return new StkError('invalid-input', 'a FUSE request is cut off or has no valid length');
}
