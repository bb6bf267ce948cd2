import type { Readable } from 'node:stream';
import { StkError, errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { unlessAborted } from '../core/unless-aborted.ts';
import { createReadStream, open, readFile, stat } from '../host/files.ts';

/** More than any recipe, key or secret has. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Files that the command line names. They may be pipes, as shells make for `<(…)`, which can be read but once: what was
 * read is kept, and handed to the process that does the same command again inside of namespaces.
 */
export class GivenFiles {
  readonly #pipes = new Map<AbsPath, Promise<Buffer>>();
  readonly #signal: AbortSignal;

  /** @param received what another process has read, in base64 by path */
  constructor(received: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.#signal = signal;
    for (const [file, text] of Object.entries(received)) {
      this.#pipes.set(file as AbsPath, Promise.resolve(Buffer.from(text, 'base64')));
    }
  }

  /** The bytes of a file, at most 16 MiB of a pipe. Errors of the system pass as they are. */
  async read(file: AbsPath): Promise<Buffer> {
    return (await this.readPipe(file)) ?? readFile(file);
  }

  /** The same of a pipe, a device or an inherited descriptor; `undefined` where a file is ordinary, or nothing is. */
  async readPipe(file: AbsPath): Promise<Buffer | undefined> {
    const known = this.#pipes.get(file);
    if (known) return known;
    const found = await stat(file).catch(() => undefined);
    // One may have come in between.
    const other = this.#pipes.get(file);
    if (other) return other;
    const isInherited = /^\/(?:dev|proc)\//.test(file);
    if (!found || found.isDirectory() || (found.isFile() && !isInherited)) return undefined;
    const reading = unlessAborted(readStream(file), this.#signal);
    this.#pipes.set(file, reading);
    return reading;
  }

  /** All pipes that were read, as the constructor takes them. */
  async handOver(): Promise<Record<string, string>> {
    const entries: [string, string][] = [];
    for (const [file, bytes] of this.#pipes) entries.push([file, (await bytes).toString('base64')]);
    return Object.fromEntries(entries);
  }
}

async function readStream(file: AbsPath): Promise<Buffer> {
  const stream = await openStream(file);
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    sizeBytes += (chunk as Buffer).byteLength;
    if (sizeBytes > MAX_BYTES) throw new StkError('invalid-input', `what comes from ${file} is too large`);
  }
  return Buffer.concat(chunks);
}

/** A socket is no file that can be opened: where one is inherited, it is read by its number. */
async function openStream(file: AbsPath): Promise<Readable> {
  try {
    return (await open(file)).createReadStream();
  } catch (error) {
    const fd = /^\/(?:dev\/fd|proc\/self\/fd)\/(\d+)$/.exec(file)?.[1] ?? (file === '/dev/stdin' ? '0' : undefined);
    if (errnoOf(error) !== 'ENXIO' || fd === undefined) throw error;
    return fd === '0' ? process.stdin : createReadStream('', { fd: Number(fd) });
  }
}
