import { constants } from 'node:os';
import { isStkError } from '../core/errors.ts';
import { Limiter } from '../core/limiter.ts';
import { askAgain, serveDevice, type FuseAnswer } from '../host/fuse/device.ts';
import { negotiate, type FuseSession } from '../host/fuse/negotiate.ts';
import type { ReadyFiles } from '../host/syscalls/epoll.ts';
import { OPCODE, type FuseRequest } from '../host/fuse/wire.ts';
import { MAX_NAME_BYTES, type FileTable, type ServedFile } from './file-table.ts';

const { ENOENT, EIO, EINTR, EISDIR, ENOTDIR, ENOSYS, EPROTO, EAGAIN, EINVAL, ENAMETOOLONG } = constants.errno;

/** `fuse_open_out.open_flags`: the page cache stays valid from one open to the next, for directories too. */
const FOPEN_KEEP_CACHE = 1 << 1;
const FOPEN_CACHE_DIR = 1 << 3;
const OPEN_FILE = openOut(FOPEN_KEEP_CACHE);
const OPEN_DIRECTORY = openOut(FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR);
const NOTHING = Buffer.alloc(0);

/** Reads of files in progress at once, at most 1 MiB each; more of them queue as requests of a few bytes. */
const MAX_READS = 32;
/** How far the kernel may read ahead of a sequential reader where it lets itself be told. */
export const MAX_READAHEAD_BYTES = 1 << 20;

export interface FileServerOptions {
  /** What a predecessor on the same device had agreed on with the kernel, which asks for that only once. */
  readonly resumed?: FuseSession | undefined;
  /** Called once, when the kernel and the server have agreed and files can be read. */
  readonly onReady: (session: FuseSession) => void;
  /** A read that failed and was answered with an error number. */
  readonly onReadError: (file: ServedFile, offset: number, error: unknown) => void;
  /** A request that is none, an answer that the kernel refused. */
  readonly onFault: (error: unknown) => void;
}

export interface ServeFilesOptions extends FileServerOptions {
  /** Tells when the kernel asks. */
  readonly ready: ReadyFiles;
}

/**
 * Answers the requests of one FUSE mount over a table of files until it is unmounted or aborted; reads in progress have
 * ended by then. A read that fails is EIO (EINTR where its caller was interrupted), never short: the kernel would take
 * a short answer for the end of the file.
 */
export async function serveFiles(fd: number, table: FileTable, options: ServeFilesOptions): Promise<void> {
  const server = new FileServer(table, options);
  if (options.resumed) {
    askAgain(fd);
    options.onReady(options.resumed);
  }
  await serveDevice(fd, (request, answer) => server.handle(request, answer), {
    ready: options.ready,
    onFault: options.onFault,
  });
  await server.stop();
}

/** The state of one mount: what is being read, and for whom. */
export class FileServer {
  readonly #table: FileTable;
  readonly #options: FileServerOptions;
  readonly #limiter = new Limiter(MAX_READS);
  readonly #reads = new Map<bigint, AbortController>();
  readonly #settled = new Set<Promise<void>>();
  #session: FuseSession | undefined;

  constructor(table: FileTable, options: FileServerOptions) {
    this.#table = table;
    this.#options = options;
    this.#session = options.resumed;
  }

  handle(request: FuseRequest, answer: FuseAnswer): void {
    try {
      this.#dispatch(request, answer);
    } catch (error) {
      this.#options.onFault(error);
      if (wantsAnswer(request.opcode)) answer.error(isStkError(error, 'invalid-input') ? EINVAL : EIO);
    }
  }

  #dispatch(request: FuseRequest, answer: FuseAnswer): void {
    const { opcode, nodeId, body } = request;
    switch (opcode) {
      case OPCODE.read:
        return this.#read(request, answer);
      case OPCODE.lookup: {
        const name = body.name(0);
        if (name.length > MAX_NAME_BYTES) return answer.error(ENAMETOOLONG);
        const node = this.#table.find(nodeId, name);
        return node === undefined ? answer.error(ENOENT) : answer.ok(this.#table.entry(node));
      }
      case OPCODE.getattr:
        return this.#table.has(nodeId) ? answer.ok(this.#table.attributes(nodeId)) : answer.error(ENOENT);
      case OPCODE.open:
        if (this.#table.file(nodeId)) return answer.ok(OPEN_FILE);
        return answer.error(this.#table.has(nodeId) ? EISDIR : ENOENT);
      case OPCODE.opendir:
        if (!this.#table.has(nodeId)) return answer.error(ENOENT);
        return this.#table.file(nodeId) ? answer.error(ENOTDIR) : answer.ok(OPEN_DIRECTORY);
      case OPCODE.readdir:
        if (this.#table.file(nodeId) || !this.#table.has(nodeId)) return answer.error(ENOTDIR);
        return answer.ok(this.#table.list(body.u64(8), Math.min(body.u32(16), this.#maxReadBytes)));
      case OPCODE.statfs:
        return answer.ok(this.#table.statfs());
      case OPCODE.release:
      case OPCODE.releasedir:
      case OPCODE.destroy:
        return answer.ok();
      // Nodes are not counted: they are there for as long as the server.
      case OPCODE.forget:
      case OPCODE.batchForget:
        return;
      case OPCODE.interrupt:
        return this.#interrupt(body.u64Exact(0), answer);
      case OPCODE.init:
        return this.#init(request, answer);
      default:
        return answer.error(ENOSYS);
    }
  }

  #init(request: FuseRequest, answer: FuseAnswer): void {
    try {
      const wishes = { maxBackground: MAX_READS, maxReadaheadBytes: MAX_READAHEAD_BYTES };
      const { answer: body, session } = negotiate(request.body, wishes);
      answer.ok(body);
      if (session === undefined || this.#session !== undefined) return;
      this.#session = session;
      this.#options.onReady(session);
    } catch (error) {
      this.#options.onFault(error);
      answer.error(EPROTO);
    }
  }

  get #maxReadBytes(): number {
    return this.#session?.maxReadBytes ?? 0;
  }

  #read({ unique, nodeId, body }: FuseRequest, answer: FuseAnswer): void {
    const file = this.#table.file(nodeId);
    if (file === undefined) return answer.error(this.#table.has(nodeId) ? EISDIR : ENOENT);
    const offset = body.u64(8);
    const wanted = Math.min(body.u32(16), this.#maxReadBytes);
    const length = Math.min(wanted, Math.max(0, file.reader.sizeBytes - offset));
    if (length === 0) return answer.ok(NOTHING);
    const controller = new AbortController();
    this.#reads.set(unique, controller);
    const settled = this.#answerRead(file, { offset, length }, answer, controller.signal).finally(() => {
      this.#reads.delete(unique);
      this.#settled.delete(settled);
    });
    this.#settled.add(settled);
  }

  async #answerRead(
    file: ServedFile,
    { offset, length }: { readonly offset: number; readonly length: number },
    answer: FuseAnswer,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const bytes = await this.#limiter.run(() => file.reader.readAt(offset, length, signal), signal);
      if (bytes.length !== length) throw new Error(`${file.reader.name} gave ${bytes.length} bytes for ${length}`);
      answer.ok(bytes);
    } catch (error) {
      if (signal.aborted) return answer.error(EINTR);
      answer.error(EIO);
      this.#options.onReadError(file, offset, error);
    }
  }

  /** Whoever waits for the read got a signal. EAGAIN has the kernel ask again: the read itself may still be on its way. */
  #interrupt(unique: bigint, answer: FuseAnswer): void {
    const controller = this.#reads.get(unique);
    if (controller) controller.abort();
    else answer.error(EAGAIN);
  }

  /** Gives up the reads in progress, whose answers nobody would take any more. */
  async stop(): Promise<void> {
    for (const controller of this.#reads.values()) controller.abort();
    await Promise.allSettled(this.#settled);
  }
}

function wantsAnswer(opcode: number): boolean {
  return opcode !== OPCODE.forget && opcode !== OPCODE.batchForget && opcode !== OPCODE.interrupt;
}

/** `fuse_open_out`: no handle is needed, since the node says which file it is. */
function openOut(flags: number): Buffer {
  const bytes = Buffer.alloc(16);
  new Uint32Array(bytes.buffer, bytes.byteOffset, 4)[2] = flags;
  return bytes;
}
