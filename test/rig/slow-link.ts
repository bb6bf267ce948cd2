import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface SlowLinkOptions {
  /** Of one way; a round trip takes twice as long. */
  readonly latencyMs: number;
  /** Of what comes back, all connections together. */
  readonly bytesPerSecond: number;
}

/** Pieces that are on their way at once. */
const MAX_CHUNKS = 32;

/** Hands connections on to a server as a link would that is far and narrow, and counts what comes back. */
export class SlowLink implements AsyncDisposable {
  receivedBytes = 0;
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #options: SlowLinkOptions;
  /** When the last byte that was accepted will have left. */
  #freeMs = 0;

  private constructor(target: string, options: SlowLinkOptions) {
    this.#options = options;
    const [host = '', port = ''] = target.split(':');
    this.#server = createServer(client => {
      this.connections++;
      const upstream = connect(Number(port), host);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.setNoDelay(true);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => this.#sockets.delete(socket));
      }
      this.#carry(client, upstream, () => 0);
      this.#carry(upstream, client, length => this.#queue(length));
    });
  }

  static async open(target: string, options: SlowLinkOptions): Promise<SlowLink> {
    const link = new SlowLink(target, options);
    await new Promise<void>(resolve => link.#server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  /** `127.0.0.1:port` */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Milliseconds until bytes have passed the narrow place. */
  #queue(length: number): number {
    this.receivedBytes += length;
    const now = performance.now();
    this.#freeMs = Math.max(this.#freeMs, now) + (length / this.#options.bytesPerSecond) * 1000;
    return this.#freeMs - now;
  }

  #carry(from: Socket, to: Socket, queue: (length: number) => number): void {
    const waiting: { readonly chunk: Buffer | undefined; readonly dueMs: number }[] = [];
    let timer: NodeJS.Timeout | undefined;
    const deliver = () => {
      timer = undefined;
      while (waiting.length > 0 && waiting[0]!.dueMs <= performance.now()) {
        const { chunk } = waiting.shift()!;
        if (to.destroyed) continue;
        if (chunk) to.write(chunk);
        else to.end();
      }
      // As much as the narrow place holds up, not all that the server has.
      if (waiting.length < MAX_CHUNKS) from.resume();
      if (waiting.length > 0) timer = setTimeout(deliver, Math.max(1, waiting[0]!.dueMs - performance.now()));
    };
    const add = (chunk?: Buffer) => {
      waiting.push({ chunk, dueMs: performance.now() + queue(chunk?.length ?? 0) + this.#options.latencyMs });
      if (waiting.length >= MAX_CHUNKS) from.pause();
      timer ??= setTimeout(deliver, this.#options.latencyMs);
    };
    from.on('data', (chunk: Buffer) => add(chunk));
    from.on('end', () => add());
    from.on('close', () => {
      if (from.errored) to.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
