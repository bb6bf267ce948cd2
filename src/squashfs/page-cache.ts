import type { BlobReader } from '../core/blob-reader.ts';
import { isStkError } from '../core/errors.ts';
import { LruCache } from './lru-cache.ts';
import { malformed } from './malformed.ts';

const PAGE_BYTES = 32 * 1024;
const CACHE_BYTES = 8 * 1024 * 1024;
/** What one read fetches at most when much of the image's metadata is going to be read. */
const SEQUENTIAL_BYTES = 1024 * 1024;

type Page = Buffer | Promise<Buffer>;

/**
 * The metadata part of an image in pages, so that neighbouring blocks cost one read of the blob, which may be remote.
 * Ordinarily a miss fetches the pages it needs; while a sequential reader is at work it fetches up to 1 MiB ahead.
 * Concurrent misses of a page share one read. At most 8 MiB are kept.
 */
export class PageCache {
  readonly #reader: BlobReader;
  readonly #endBytes: number;
  readonly #pages = new LruCache<number, Page>(CACHE_BYTES / PAGE_BYTES);
  #sequentialReaders = 0;

  /** @param endBytes where the image ends in the blob */
  constructor(reader: BlobReader, endBytes: number) {
    this.#reader = reader;
    this.#endBytes = endBytes;
  }

  /** Large reads until the result is disposed of. */
  readSequentially(): Disposable {
    let active = true;
    this.#sequentialReaders++;
    return {
      [Symbol.dispose]: () => {
        if (active) this.#sequentialReaders--;
        active = false;
      },
    };
  }

  /** Exactly `length` bytes, at most a few pages. They may share memory with the cache: not to be written to. */
  async bytes(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    if (offset < 0 || offset + length > this.#endBytes) {
      throw malformed(this.#reader.name, `it refers to ${length} bytes at ${offset}, outside of itself`);
    }
    const first = Math.floor(offset / PAGE_BYTES);
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    const start = offset - first * PAGE_BYTES;
    if (first >= last) return (await this.#page(first, first, signal)).subarray(start, start + length);
    const pages: Buffer[] = [];
    for (let page = first; page <= last; page++) pages.push(await this.#page(page, last, signal));
    return Buffer.concat(pages).subarray(start, start + length);
  }

  async #page(index: number, last: number, signal: AbortSignal | undefined): Promise<Buffer> {
    for (;;) {
      const page = this.#pages.get(index);
      if (page === undefined) return this.#fetch(index, last, signal);
      if (Buffer.isBuffer(page)) return page;
      try {
        return await page;
      } catch (error) {
        // Another caller's signal ended the shared read: this one makes its own.
        if (!isStkError(error, 'interrupted') || signal?.aborted) throw error;
      }
    }
  }

  /** Reads the page and as many missing ones behind it as the mode says, in one request. */
  async #fetch(index: number, last: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const ahead = this.#sequentialReaders > 0 ? SEQUENTIAL_BYTES / PAGE_BYTES - 1 : 0;
    const pageCount = Math.ceil(this.#endBytes / PAGE_BYTES);
    const limit = Math.min(pageCount - 1, Math.max(last, index + ahead));
    let end = index + 1;
    while (end <= limit && this.#pages.get(end) === undefined) end++;
    const start = index * PAGE_BYTES;
    const read = this.#reader.readAt(start, Math.min(end * PAGE_BYTES, this.#endBytes) - start, signal);
    const pages: [number, Promise<Buffer>][] = [];
    for (let page = index; page < end; page++) {
      const from = (page - index) * PAGE_BYTES;
      const promise = read.then(bytes => bytes.subarray(from, from + PAGE_BYTES));
      promise.catch(() => {});
      this.#pages.set(page, promise);
      pages.push([page, promise]);
    }
    try {
      const bytes = await read;
      for (const [page, promise] of pages) {
        const from = (page - index) * PAGE_BYTES;
        if (this.#pages.get(page) === promise) this.#pages.set(page, bytes.subarray(from, from + PAGE_BYTES));
      }
      return bytes.subarray(0, PAGE_BYTES);
    } catch (error) {
      for (const [page, promise] of pages) if (this.#pages.get(page) === promise) this.#pages.delete(page);
      throw error;
    }
  }
}
