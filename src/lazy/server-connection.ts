import { messageOf, StkError } from '../core/errors.ts';
import { closeSync, writeSync } from '../host/files.ts';
import { receiveMessage } from '../host/syscalls/descriptor-message.ts';
import type { ReadyFiles } from '../host/syscalls/epoll.ts';
import { peerUid } from '../host/syscalls/unix-socket.ts';
import { MAX_SPEC_BYTES } from './serve-spec.ts';
import { LENGTH_BYTES, refusal, type ServerWord } from './server-words.ts';

const PIECE_BYTES = 64 * 1024;

/** What somebody asks for over a connection. */
export interface ServeRequest {
  /** The specification as it was sent. */
  readonly text: string;
  /** A mounted device, whoever takes the request closes it. */
  readonly device: number;
}

/** One connection to a server: a request comes, and words go back. */
export class ServerConnection {
  readonly #socket: number;
  readonly #ready: ReadyFiles;
  readonly #onEnd: () => void;
  readonly #pieces: Buffer[] = [];
  #received = 0;
  #device: number | undefined;
  #isOpen = true;

  /**
   * @param socket accepted, not blocking; closed by this object
   * @param onRequest called at most once, when the request is there as a whole
   * @param onEnd called once, when the connection is closed
   */
  constructor(
    socket: number,
    ready: ReadyFiles,
    { onRequest, onEnd }: { readonly onRequest: (request: ServeRequest) => void; readonly onEnd: () => void },
  ) {
    this.#socket = socket;
    this.#ready = ready;
    this.#onEnd = onEnd;
    ready.watch(socket, () => {
      try {
        const request = this.#receive();
        if (request) onRequest(request);
      } catch (error) {
        this.say(refusal(error));
        this.close();
      }
    });
  }

  /** The request once all of it has come. */
  #receive(): ServeRequest | undefined {
    if (peerUid(this.#socket) !== process.getuid?.()) {
      throw new StkError('invalid-input', 'another user than the server asks for a mount');
    }
    for (;;) {
      const message = receiveMessage(this.#socket, PIECE_BYTES);
      if (message === undefined) return undefined;
      if (message.fd !== undefined) {
        if (this.#device !== undefined) closeSync(this.#device);
        this.#device = message.fd;
      }
      if (message.bytes.length === 0) {
        this.close();
        return undefined;
      }
      this.#pieces.push(message.bytes);
      this.#received += message.bytes.length;
      if (this.#received > LENGTH_BYTES + MAX_SPEC_BYTES) throw new StkError('invalid-input', 'a request is too long');
      const request = this.#request();
      if (request) return request;
    }
  }

  #request(): ServeRequest | undefined {
    if (this.#received < LENGTH_BYTES) return undefined;
    const all = Buffer.concat(this.#pieces);
    const end = LENGTH_BYTES + all.readUInt32LE(0);
    if (all.length < end) return undefined;
    const device = this.#device;
    if (device === undefined) throw new StkError('invalid-input', 'a request brings no device');
    this.#device = undefined;
    // Nothing more is expected, and an end of the connection changes nothing.
    this.#ready.unwatch(this.#socket);
    return { text: all.toString('utf8', LENGTH_BYTES, end), device };
  }

  /** Whoever asked may be gone by now, which changes nothing. */
  say(word: ServerWord): void {
    try {
      if (this.#isOpen) writeSync(this.#socket, `${JSON.stringify(word)}\n`);
    } catch (error) {
      process.emitWarning(`cannot answer: ${messageOf(error)}`);
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#ready.unwatch(this.#socket);
    closeSync(this.#socket);
    if (this.#device !== undefined) closeSync(this.#device);
    this.#onEnd();
  }
}
