import fs from 'node:fs';
import os from 'node:os';
import { errnoOf } from '../../core/errors.ts';
import type { ReadyFiles } from '../syscalls/epoll.ts';
import { syscallFailure } from '../syscalls/failure.ts';
import { readNow } from '../syscalls/read-now.ts';
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
  /** Tells when there are requests. */
  readonly ready: ReadyFiles;
  /** A message that is no request, or an answer that the kernel refused: both are bugs of one side. */
  readonly onFault: (error: unknown) => void;
}

const { EAGAIN, ENODEV, ECONNABORTED, ENOENT, EINTR } = os.constants.errno;
/** Requests of one device that are handed on before others get their turn. */
const REQUESTS_PER_TURN = 32;

/**
 * Receives requests from an open /dev/fuse and hands them to `handler` until the filesystem is unmounted or aborted,
 * then resolves. The descriptor stays the caller's and must stay open until then; it must not block (O_NONBLOCK).
 */
export async function serveDevice(fd: number, handler: FuseHandler, options: FuseDeviceOptions): Promise<void> {
  const { ready, onFault } = options;
  const answers = new AnswerWriter(fd, onFault);
  const buffer = Buffer.alloc(REQUEST_BYTES);
  const receive = (): 'ended' | 'more' => {
    for (let count = 0; count < REQUESTS_PER_TURN; count++) {
      const { length, errno } = readNow(fd, buffer);
      if (errno === EAGAIN) return 'more';
      // ENODEV: unmounted or aborted, there will be no more.
      if (errno === ENODEV || errno === ECONNABORTED) return 'ended';
      // ENOENT: the request was withdrawn while it was read.
      if (errno === ENOENT || errno === EINTR) continue;
      if (errno !== 0) throw syscallFailure({ call: 'read', errno, attempt: 'receive requests' });
      const request = parseRequest(buffer.subarray(0, length));
      handler(request, answers.to(request.unique));
    }
    return 'more';
  };
  await new Promise<void>(resolve => {
    ready.watch(fd, () => {
      try {
        if (receive() === 'more') return;
        ready.unwatch(fd);
        resolve();
      } catch (error) {
        onFault(error);
      }
    });
  });
}

/**
 * Has the kernel ask again whatever a dead predecessor received from this device and did not answer. Throws where the
 * kernel cannot: such requests wait for ever.
 */
export function askAgain(fd: number): void {
  fs.writeSync(fd, resendMessage());
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
