import os from 'node:os';
import { Worker } from 'node:worker_threads';
import { Digester, digestFromHex, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';

/** A running sha256 of a stream. Must be finished or abandoned. */
export interface StreamDigester {
  /** Count of bytes so far. */
  readonly sizeBytes: number;
  /** The chunk stays the caller's. A promise is to be awaited before the next call; where there is none, go on. */
  update(chunk: Uint8Array): Promise<void> | undefined;
  /** Ends the hash; call once. */
  finish(): Promise<Digest>;
  /** For a stream that ended otherwise. Idempotent, also after `finish`. */
  abandon(): void;
}

/** Below this, talking to a thread costs more than hashing here. */
const WORTH_A_THREAD_BYTES = 4 * 1024 * 1024;

const SLOT_BYTES = 1024 * 1024;
const SLOTS = 3;
const MAX_THREADS = 4;

/** Runs in each thread; told pieces of shared memory, it hashes them where they lie. */
const THREAD = `
const { parentPort } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const running = new Map();
parentPort.on('message', ({ id, memory, slot, offset, length, end }) => {
  if (memory) running.set(id, { memory, hash: createHash('sha256') });
  const one = running.get(id);
  if (!one) return;
  if (length) one.hash.update(new Uint8Array(one.memory, offset, length));
  if (end) running.delete(id);
  parentPort.postMessage({ id, slot, hex: end === 'finish' ? one.hash.digest('hex') : undefined });
});
`;

interface Answer {
  readonly id: number;
  readonly slot: number;
  readonly hex: string | undefined;
}

/** One thread that hashes for any number of digesters in turn. Does not keep the process alive. */
class HashThread {
  readonly #worker = new Worker(THREAD, { eval: true });
  readonly #digesters = new Map<number, (answer: Answer | Error) => void>();

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#digesters.get(answer.id)?.(answer));
    this.#worker.on('error', error => {
      for (const tell of this.#digesters.values()) tell(error);
      threads.splice(threads.indexOf(this), 1);
    });
  }

  get load(): number {
    return this.#digesters.size;
  }

  join(id: number, tell: (answer: Answer | Error) => void): void {
    this.#digesters.set(id, tell);
    this.#worker.ref();
  }

  send(message: object): void {
    this.#worker.postMessage(message, []);
  }

  leave(id: number): void {
    this.#digesters.delete(id);
    if (this.load === 0) this.#worker.unref();
  }
}

const threads: HashThread[] = [];
let nextId = 0;

function leastBusyThread(): HashThread {
  const idle = threads.find(thread => thread.load === 0);
  const wanted = Math.min(MAX_THREADS, os.availableParallelism());
  if (!idle && threads.length < wanted) threads.push(new HashThread());
  return idle ?? threads.reduce((least, thread) => (thread.load < least.load ? thread : least));
}

/** Hashes long streams in other threads, side by side with what this one has to do for them; short ones here. */
export function openDigester(expectedBytes: number): StreamDigester {
  if (expectedBytes >= WORTH_A_THREAD_BYTES) return new ThreadDigester();
  const digester = new Digester();
  return {
    get sizeBytes() {
      return digester.sizeBytes;
    },
    update(chunk) {
      digester.update(chunk);
      return undefined;
    },
    finish: async () => digester.finish(),
    abandon() {},
  };
}

/** Bytes are copied once, into memory that the thread sees. */
class ThreadDigester implements StreamDigester {
  readonly #id = nextId++;
  readonly #thread = leastBusyThread();
  readonly #memory = new SharedArrayBuffer(SLOT_BYTES * SLOTS);
  readonly #bytes = new Uint8Array(this.#memory);
  readonly #free = Array.from({ length: SLOTS - 1 }, (_, index) => index + 1);
  #slot = 0;
  #filled = 0;
  #sizeBytes = 0;
  #wake: (() => void) | undefined;
  #failure: StkError | undefined;
  #hex: string | undefined;

  constructor() {
    this.#thread.join(this.#id, answer => this.#hear(answer));
    this.#thread.send({ id: this.#id, memory: this.#memory, slot: -1 });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  update(chunk: Uint8Array): Promise<void> | undefined {
    this.#sizeBytes += chunk.byteLength;
    if (this.#filled + chunk.byteLength >= SLOT_BYTES) return this.#updateSlowly(chunk);
    this.#copy(chunk);
    return undefined;
  }

  async #updateSlowly(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.byteLength;) {
      const piece = chunk.subarray(done, done + SLOT_BYTES - this.#filled);
      this.#copy(piece);
      done += piece.byteLength;
      if (this.#filled === SLOT_BYTES) await this.#passOn();
    }
  }

  #copy(piece: Uint8Array): void {
    this.#bytes.set(piece, this.#slot * SLOT_BYTES + this.#filled);
    this.#filled += piece.byteLength;
  }

  async #passOn(): Promise<void> {
    this.#thread.send(this.#piece());
    this.#filled = 0;
    while (this.#free.length === 0) await this.#answered();
    this.#slot = this.#free.shift()!;
  }

  #piece(): object {
    return { id: this.#id, slot: this.#slot, offset: this.#slot * SLOT_BYTES, length: this.#filled };
  }

  async finish(): Promise<Digest> {
    this.#thread.send({ ...this.#piece(), end: 'finish' });
    while (this.#hex === undefined) await this.#answered();
    this.#thread.leave(this.#id);
    return digestFromHex(this.#hex);
  }

  abandon(): void {
    if (this.#hex !== undefined) return;
    this.#thread.send({ id: this.#id, slot: -1, end: 'abandon' });
    this.#thread.leave(this.#id);
  }

  async #answered(): Promise<void> {
    if (!this.#failure) await new Promise<void>(resolve => (this.#wake = resolve));
    if (this.#failure) throw this.#failure;
  }

  #hear(answer: Answer | Error): void {
    if (answer instanceof Error) {
      this.#failure = new StkError('tool-failed', `a thread that hashes has ended: ${answer.message}`, {
        cause: answer,
      });
    } else if (answer.hex !== undefined) this.#hex = answer.hex;
    else if (answer.slot >= 0) this.#free.push(answer.slot);
    this.#wake?.();
    this.#wake = undefined;
  }
}
