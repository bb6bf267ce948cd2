import os from 'node:os';
import { closeSync, readSync, writeSync } from '../files.ts';
import { syscallFailure } from './failure.ts';
import { nativeFunction, type NativeResult } from './native.ts';

const epollCreate = nativeFunction('epoll_create1', 'int', ['int']);
const epollControl = nativeFunction('epoll_ctl', 'int', ['int', 'int', 'int', 'void *']);
const epollWait = nativeFunction('epoll_wait', 'int', ['int', 'void *', 'int', 'int']);
const eventfd = nativeFunction('eventfd', 'int', ['uint', 'int']);

/** sys/epoll.h, sys/eventfd.h: the same on every architecture that Node runs on. */
const CLOEXEC = 0o2000000;
const CTL_ADD = 1;
const CTL_DEL = 2;
const EPOLLIN = 1;
/** `struct epoll_event` is packed on x86 alone. */
const [EVENT_BYTES, DATA_AT] = process.arch === 'x64' || process.arch === 'ia32' ? [12, 4] : [16, 8];
const MAX_EVENTS = 64;
const { EINTR } = os.constants.errno;

/**
 * Waits for many files at once with one thread of libuv's pool, of which Node's own ways take one for each file that is no
 * socket of Node's (epoll(7), level-triggered).
 */
export class ReadyFiles implements Disposable {
  readonly #epoll = checked('epoll_create1', epollCreate.call(CLOEXEC));
  /** Ends a wait that nothing else would end. */
  readonly #bell = checked('eventfd', eventfd.call(0, CLOEXEC));
  readonly #watched = new Map<number, () => void>();
  readonly #events = Buffer.alloc(MAX_EVENTS * EVENT_BYTES);
  #isRunning = false;
  #isClosed = false;

  constructor() {
    this.#add(this.#bell);
  }

  /**
   * Calls `onReady` when there is something to read of a file, or it has an error to tell; again for as long as that is so.
   * It must not throw. The file stays the caller's, who calls `unwatch` before closing it.
   */
  watch(fd: number, onReady: () => void): void {
    this.#add(fd);
    this.#watched.set(fd, onReady);
    if (!this.#isRunning) void this.#run();
  }

  unwatch(fd: number): void {
    if (!this.#watched.delete(fd)) return;
    checked('epoll_ctl', epollControl.call(this.#epoll, CTL_DEL, fd, Buffer.alloc(EVENT_BYTES)));
    if (this.#watched.size === 0) this.#ring();
  }

  #add(fd: number): void {
    const event = Buffer.alloc(EVENT_BYTES);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeUInt32LE(fd, DATA_AT);
    checked('epoll_ctl', epollControl.call(this.#epoll, CTL_ADD, fd, event));
  }

  #ring(): void {
    const one = Buffer.alloc(8);
    one.writeUInt32LE(1);
    writeSync(this.#bell, one);
  }

  /** Waits while anything is watched, and no longer: a thread that waits keeps the process. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#watched.size > 0 && !this.#isClosed) {
      const { value: count, errno } = await epollWait.wait(this.#epoll, this.#events, MAX_EVENTS, -1);
      if (count < 0 && errno !== EINTR) throw syscallFailure({ call: 'epoll_wait', errno });
      for (let index = 0; index < count; index++) {
        const fd = this.#events.readUInt32LE(index * EVENT_BYTES + DATA_AT);
        if (fd === this.#bell) readSync(fd, Buffer.alloc(8));
        // One of the same turn may have ended the watch of another.
        else this.#watched.get(fd)?.();
      }
    }
    this.#isRunning = false;
    if (this.#isClosed) this.#release();
  }

  /** Nothing is watched any more. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watched.clear();
    if (this.#isRunning) this.#ring();
    else this.#release();
  }

  #release(): void {
    closeSync(this.#bell);
    closeSync(this.#epoll);
  }
}

function checked(call: string, { value, errno }: NativeResult): number {
  if (value < 0) throw syscallFailure({ call, errno });
  return value;
}
