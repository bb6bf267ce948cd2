import { isDigest } from '../core/digest.ts';
import { StkError, isStkError, throwIfAborted } from '../core/errors.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { isTransientStatus } from '../host/http-retry.ts';
import type { Patience } from '../host/patience.ts';
import type { PutOptions } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { RepositoryName } from '../oci/reference.ts';
import { refusal } from './refusal.ts';
import type { RegistrySession } from './session.ts';
import { SourceCursor } from './source-cursor.ts';

export interface UploadOptions extends Omit<PutOptions, 'mountFrom'> {
  /** A repository of the same registry that has the blob. */
  readonly mountFrom?: RepositoryName | undefined;
  /** Sent with one PATCH at most; default: all of it. Registries behind some proxies limit bodies. */
  readonly chunkBytes?: number | undefined;
}

/** Up to here a blob is sent with the request that ends its upload, and again as a whole if that fails. */
const MONOLITHIC_BYTES = 1024 * 1024;
/** A registry may hash, or copy in its storage, what was sent before it answers. */
const COMMIT_TIMEOUT_MS = 10 * 60_000;
/** How long a registry may take to show what it says it took; one that lies does not get better. */
export const STORAGE_MS = 10_000;
/** How long a registry is asked what it has of an upload, which can begin anew instead. */
const RECOVERY_MS = 10_000;
/** Nothing depends on it. */
const CANCEL_TIMEOUT_MS = 5000;
const OCTETS = 'application/octet-stream';

/** What registries answer that take no body with the request which ends an upload. */
const NO_BODY_STATUSES: ReadonlySet<number> = new Set([400, 404, 405, 411, 415, 501]);
/** Registries that are known to take bodies with PATCH alone, as docker sends them; the specification wants both ways. */
const takesNoBodyAtEnd = new WeakSet<RegistrySession>();

/** One upload of a blob, begun, gone on with and ended. */
export class Upload implements AsyncDisposable {
  readonly #session: RegistrySession;
  readonly #descriptor: Descriptor;
  readonly #source: () => AsyncIterable<Uint8Array>;
  readonly #options: UploadOptions;
  /** What is attempted, for messages. */
  readonly name: string;
  readonly patience: Patience;
  #location: URL | undefined;
  #chunkBytes = Number.POSITIVE_INFINITY;
  #cursor: SourceCursor | undefined;
  /** Bytes that the registry is thought to have. */
  offset = 0;
  /** Whether the registry's last answer says that it has stored the blob. */
  isSure = false;

  constructor(
    session: RegistrySession,
    descriptor: Descriptor,
    source: () => AsyncIterable<Uint8Array>,
    options: UploadOptions,
  ) {
    this.#session = session;
    this.#descriptor = descriptor;
    this.#source = source;
    this.#options = options;
    const place = `${session.host}/${session.repository}`;
    this.name = `store blob ${descriptor.digest} in ${place}`;
    this.patience = session.client.patience(`sending blob ${descriptor.digest} to ${place}`);
  }

  /** For a registry that has taken the blob, and stores it later. */
  waitForStorage(): Patience {
    return this.#session.client.patience(`waiting for ${this.name}`, STORAGE_MS);
  }

  async begin(mountFrom?: RepositoryName): Promise<'mounted' | 'begun'> {
    const query =
      mountFrom === undefined
        ? ''
        : `?${new URLSearchParams({ mount: this.#descriptor.digest, from: mountFrom }).toString()}`;
    this.offset = 0;
    let response: HttpResponse;
    try {
      response = await this.#send('POST', `blobs/uploads/${query}`, { alsoPull: mountFrom, retry: true });
    } catch (error) {
      // A token server may refuse a scope in its own way.
      if (mountFrom === undefined || !isStkError(error, 'unauthorized', 'registry')) throw error;
      return this.begin();
    }
    if (response.status === 201 && mountFrom !== undefined) {
      await response.discard();
      return 'mounted';
    }
    const isBegun = response.isSuccess && response.header('location') !== undefined;
    // Whoever may not read the other repository may still write to this one.
    if (mountFrom !== undefined && !isBegun) {
      await response.discard();
      return this.begin();
    }
    if (!response.isSuccess) throw await refusal(response, this.name);
    await response.discard();
    this.#location = this.#session.locate(response);
    this.#chunkBytes = chunkSize(response, this.#options.chunkBytes);
    return 'begun';
  }

  /** Sends what is left and ends the upload. Returns what stopped it, if trying again may help. */
  async proceed(): Promise<StkError | undefined> {
    const { size } = this.#descriptor;
    const isMonolithic = size <= MONOLITHIC_BYTES && size <= this.#chunkBytes && this.offset === 0;
    if (isMonolithic && !takesNoBodyAtEnd.has(this.#session)) {
      return this.#commit(await this.#wholeSource());
    }
    while (this.offset < size) {
      const from = this.offset;
      const end = Math.min(size, from + this.#chunkBytes);
      const isWhole = from === 0 && end === size;
      const response = await this.#send('PATCH', this.#location!, {
        headers: {
          'content-type': OCTETS,
          'content-length': String(end - from),
          ...(isWhole ? {} : { 'content-range': `${from}-${end - 1}` }),
        },
        body: () => this.#pieces(from, end),
      });
      if (!response.isSuccess) return this.#broken(response);
      await response.discard();
      if (response.header('location') !== undefined) this.#location = this.#session.locate(response);
      this.offset = end;
      this.patience.renew();
    }
    await (await this.#cursorAt(size)).verify();
    await this.#dropCursor();
    return this.#commit(undefined);
  }

  /** Finds out what the registry has; begins anew if it has forgotten the upload. */
  async recover(): Promise<void> {
    await this.#dropCursor();
    const response = await this.#askState();
    const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(response?.header('range') ?? '')?.[1];
    const has = range === undefined ? 0 : Number(range) + 1;
    const isNamed = response?.header('location') !== undefined;
    const location = response && isNamed ? this.#session.locate(response) : undefined;
    // `0-0` is what a registry says that has nothing, and one that has one byte; so nothing is assumed.
    if (!response || has > this.#descriptor.size || has <= 1) {
      await this.cancel();
      await this.begin();
      return;
    }
    this.#location = location ?? this.#location;
    this.offset = has;
  }

  /** What the registry says of the upload, if it does. */
  async #askState(): Promise<HttpResponse | undefined> {
    const patience = { retry: true, patience: undefined, patienceMs: RECOVERY_MS };
    try {
      const response = await this.#send('GET', this.#location!, patience);
      await response.discard();
      return response.isSuccess ? response : undefined;
    } catch (error) {
      if (isStkError(error, 'network')) return undefined;
      throw error;
    }
  }

  /** Tells the registry to forget the upload. Never throws. */
  async cancel(): Promise<void> {
    const location = this.#location;
    if (!location || this.#options.signal?.aborted === true) return;
    this.#location = undefined;
    await this.#send('DELETE', location, { headersTimeoutMs: CANCEL_TIMEOUT_MS }).then(
      response => response.discard(),
      () => {},
    );
  }

  async #commit(body: Uint8Array | undefined): Promise<StkError | undefined> {
    const url = new URL(this.#location!);
    // Appended as text: a signed query must not be written anew.
    url.search += `${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(this.#descriptor.digest)}`;
    const response = await this.#send('PUT', url, {
      headers: { 'content-type': OCTETS, ...(body ? {} : { 'content-length': '0' }) },
      headersTimeoutMs: COMMIT_TIMEOUT_MS,
      ...(body ? { body } : {}),
    });
    if (!response.isSuccess) {
      const isOtherWayLeft = body !== undefined && NO_BODY_STATUSES.has(response.status);
      if (isOtherWayLeft) takesNoBodyAtEnd.add(this.#session);
      return this.#broken(response, isOtherWayLeft);
    }
    const stored = response.header('docker-content-digest');
    await response.discard();
    if (isDigest(stored) && stored !== this.#descriptor.digest) {
      throw new StkError('integrity', `cannot ${this.name}: the registry stored ${stored} instead`);
    }
    // The specification has 201 alone; whoever answers otherwise is asked what it did.
    this.isSure = response.status === 201 || stored === this.#descriptor.digest;
    this.#location = undefined;
    this.offset = this.#descriptor.size;
    this.#options.onProgress?.(this.#descriptor.size);
    return undefined;
  }

  /**
   * 404 and 416 say that the registry lost the upload or a part of it; and what it may say to a body with the request that
   * ends an upload is said once, because the next attempt sends none.
   */
  async #broken(response: HttpResponse, isOtherWayLeft = false): Promise<StkError> {
    const { status } = response;
    const error = await refusal(response, this.name);
    if (isTransientStatus(status) || status === 404 || status === 416 || isOtherWayLeft) return error;
    throw error;
  }

  async #send(
    method: 'POST' | 'PATCH' | 'PUT' | 'GET' | 'DELETE',
    target: string | URL,
    rest: Omit<Parameters<RegistrySession['send']>[0], 'method' | 'target' | 'access' | 'signal'>,
  ): Promise<HttpResponse> {
    const { signal } = this.#options;
    const { patience } = this;
    return this.#session.send({ retry: false, patience, ...rest, method, target, access: 'push', signal });
  }

  async *#pieces(from: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const cursor = await this.#cursorAt(from);
    for await (const piece of cursor.take(end)) {
      throwIfAborted(this.#options.signal);
      yield piece;
      this.#options.onProgress?.(cursor.position);
    }
  }

  async #cursorAt(position: number): Promise<SourceCursor> {
    if (this.#cursor?.position === position) return this.#cursor;
    await this.#dropCursor();
    const cursor = (this.#cursor = new SourceCursor(this.#descriptor, this.#source, this.#options.verified));
    await cursor.skipTo(position);
    return cursor;
  }

  async #wholeSource(): Promise<Uint8Array> {
    await this.#dropCursor();
    await using cursor = new SourceCursor(this.#descriptor, this.#source, this.#options.verified);
    const pieces: Uint8Array[] = [];
    for await (const piece of cursor.take(this.#descriptor.size)) pieces.push(piece);
    await cursor.verify();
    return Buffer.concat(pieces);
  }

  async #dropCursor(): Promise<void> {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    await cursor?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.patience.hold();
    await this.#dropCursor();
  }
}

/** What was configured, but no less than the registry's minimum (distribution-spec, `OCI-Chunk-Min-Length`). */
function chunkSize(response: HttpResponse, configured: number | undefined): number {
  if (configured === undefined) return Number.POSITIVE_INFINITY;
  const minimum = /^\d{1,15}$/.exec(response.header('oci-chunk-min-length') ?? '')?.[0];
  return Math.max(1, configured, Number(minimum ?? 0));
}
