import { StkError } from '../core/errors.ts';
import { isCoded } from './blob-body.ts';
import type { HttpResponse } from '../host/http-response.ts';
import type { Patience } from '../host/patience.ts';
import { cutShort, isTransient, problemOf } from '../host/transport-error.ts';
import type { CallOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { blobName, firstByte, openBlob, skipped } from './download.ts';
import type { RegistrySession } from './session.ts';

/** Where a registry ignores Range, this much is read for nothing at most before giving up. */
const MAX_WASTED_BYTES = 1024 * 1024;
const MAX_REMEMBERED = 256;

/** Reads parts of blobs. Remembers where a registry redirects to, so that most reads take one request. */
export class BlobRanges {
  readonly #session: RegistrySession;
  readonly #redirects = new Map<string, URL>();

  constructor(session: RegistrySession) {
    this.#session = session;
  }

  /**
   * Exactly `length` bytes from `offset`. **Not verified**: only a whole blob can be checked against its digest, so the
   * caller holds a hash of the part. Throws `invalid-input` outside the blob and `unsupported` where the registry
   * answers ranges with whole blobs.
   */
  async read(descriptor: Descriptor, offset: number, length: number, options: CallOptions = {}): Promise<Buffer> {
    const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!valid || offset + length > descriptor.size) {
      throw new StkError('invalid-input', `range of ${length} bytes at ${offset} is outside blob ${descriptor.digest}`);
    }
    const buffer = Buffer.allocUnsafe(length);
    const { signal } = options;
    const patience = this.#session.client.patience(`reading ${blobName(this.#session, descriptor)}`);
    for (let done = 0; done < length;) {
      try {
        const range = { from: offset + done, end: offset + length, patience, signal };
        const response = await this.#open(descriptor, range);
        const skipBytes = await this.#waste(response, descriptor, offset + done);
        for await (const chunk of skipped(response, descriptor, skipBytes)) {
          const copied = chunk.copy(buffer, done);
          done += copied;
          patience.moved(copied);
          // A body that was read to its end leaves its connection to the next request; one with more costs it.
          if (copied < chunk.byteLength) break;
        }
        if (done < length) throw cutShort(response.url, length, done);
      } catch (error) {
        if (!isTransient(error)) throw error;
        this.#redirects.delete(descriptor.digest);
        if (done < length && !(await patience.again(problemOf(error), signal))) throw patience.over(error);
      }
    }
    patience.hold();
    return buffer;
  }

  async #waste(response: HttpResponse, descriptor: Descriptor, from: number): Promise<number> {
    const skipBytes = from - (await firstByte(response, descriptor, from));
    if (skipBytes <= MAX_WASTED_BYTES) return skipBytes;
    await response.discard();
    throw new StkError('unsupported', `${this.#session.host} does not serve parts of blobs`, {
      hint: 'the blob has to be downloaded as a whole',
    });
  }

  async #open(
    descriptor: Descriptor,
    range: {
      readonly from: number;
      readonly end: number;
      readonly patience: Patience;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<HttpResponse> {
    const { from, end, patience, signal } = range;
    const known = this.#redirects.get(descriptor.digest);
    if (known) {
      const headers = { range: `bytes=${from}-${end - 1}` };
      const response = await this.#session.send({ target: known, access: 'pull', headers, patience, signal });
      if (response.status === 206 && !isCoded(response, descriptor)) return response;
      // Such URLs expire; the registry gives a new one.
      await response.discard();
      this.#redirects.delete(descriptor.digest);
    }
    const response = await openBlob(this.#session, descriptor, range);
    if (response.status === 206 && this.#session.wasRedirected(response, `blobs/${descriptor.digest}`)) {
      if (this.#redirects.size >= MAX_REMEMBERED) this.#redirects.clear();
      this.#redirects.set(descriptor.digest, response.url);
    }
    return response;
  }
}
