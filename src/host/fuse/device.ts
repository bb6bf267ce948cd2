import fs from 'node:fs';
import { errnoOf } from '../../core/errors.ts';
import { OUT_HEADER_BYTES, parseRequest, resendMessage, writeOutHeader, type FuseRequest } from './wire.ts';

/**
 * Room for one request. The kernel wants at least 8 KiB and, with it, one write of the agreed size (fuse_dev_do_read);
 * the longest requests that are read are names and batches of forgets.
 */
const REQUEST_BYTES = 16 * 1024;

/** What a server does with a request. Everything but requests that want no answer must be answered once. */
export type FuseHandler = (request: FuseRequest, answer: FuseAnswer) => void;

/** Sends the answer to one request; `errno` is positive. Data are written before the call returns. */
export interface FuseAnswer {
  ok(body?: Uint8Array): void;
  error(errno: number): void;
}

export interface FuseDeviceOptions {
  /** Reads of the device that wait at the same time; each holds one thread of libuv's pool. */
  readonly readers: number;
  /** A message that is no request, or an answer that the kernel refused: both are bugs of one side. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Receives requests from an open /dev/fuse and hands them to `handler` until the filesystem is unmounted or aborted,
 * then resolves. The descriptor stays the caller's and must stay open until then: a pending read cannot be cancelled.
 */
export async function serveDevice(fd: number, handler: FuseHandler, options: FuseDeviceOptions): Promise<void> {
  const answers = new AnswerWriter(fd, options.onFault);
  const receive = async (): Promise<void> => {
    const buffer = Buffer.alloc(REQUEST_BYTES);
    for (;;) {
      const length = await readOne(fd, buffer);
      if (length === undefined) return;
      try {
        const request = parseRequest(buffer.subarray(0, length));
        handler(request, answers.to(request.unique));
      } catch (error) {
        options.onFault(error);
      }
    }
  };
  await Promise.all(Array.from({ length: options.readers }, receive));
}

/**
 * Has the kernel ask again whatever a dead predecessor received from this device and did not answer. Throws where the
 * kernel cannot: such requests wait for ever.
 */
export function askAgain(fd: number): void {
  fs.writeSync(fd, resendMessage());
}

/** Length of the next request; `undefined` once there will be no more (ENODEV: unmounted or aborted). */
async function readOne(fd: number, buffer: Buffer): Promise<number | undefined> {
  for (;;) {
    try {
      return await new Promise<number>((resolve, reject) => {
        fs.read(fd, buffer, 0, buffer.length, null, (error, length) => (error ? reject(error) : resolve(length)));
      });
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENODEV' || errno === 'ECONNABORTED') return undefined;
      // ENOENT: the request was withdrawn while it was read.
      if (errno !== 'ENOENT' && errno !== 'EINTR' && errno !== 'EAGAIN') throw error;
    }
  }
}

/** Writing an answer copies it into the kernel and never waits, so it is done on the spot. */
class AnswerWriter {
  readonly #fd: number;
  readonly #onFault: (error: unknown) => void;
  readonly #header = Buffer.alloc(OUT_HEADER_BYTES);

  constructor(fd: number, onFault: (error: unknown) => void) {
    this.#fd = fd;
    this.#onFault = onFault;
  }

  to(unique: bigint): FuseAnswer {
    return {
      ok: body => this.#send(unique, 0, body),
      error: errno => this.#send(unique, errno),
    };
  }

  #send(unique: bigint, errno: number, body?: Uint8Array): void {
    writeOutHeader(this.#header, unique, errno, body?.byteLength ?? 0);
    try {
      if (body) fs.writevSync(this.#fd, [this.#header, body]);
      else fs.writeSync(this.#fd, this.#header);
    } catch (error) {
      const code = errnoOf(error);
      // ENOENT: whoever asked is gone. ENODEV, EPERM: the filesystem is.
      if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EPERM') this.#onFault(error);
    }
  }
}
