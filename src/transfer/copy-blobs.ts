import { setMaxListeners } from 'node:events';
import { formatBytes } from '../core/bytes.ts';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { silent, withTask, type Emit } from '../core/events.ts';
import { Limiter, mapLimited } from '../core/limiter.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';

export interface BlobCopyOptions {
  readonly emit?: Emit;
  /** What the progress is about. */
  readonly group: string;
  /** Blobs copied side by side; default 4. */
  readonly parallel?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface BlobCounts {
  /** Bytes of blobs whose content was sent. */
  readonly sentBytes: number;
  /** Blobs that were sent, and blobs that the destination had or took from a neighbour. */
  readonly sentBlobs: number;
  readonly presentBlobs: number;
}

const PARALLEL = 4;
/** How long a registry is asked whether it has what it has just taken. */
const COURTESY_MS = 10_000;

/** Copies blobs from one store to another, each once. What the destination has is not sent. */
export class BlobCopy implements AsyncDisposable {
  /** Fires with the options' signal, or with the failure of a blob that was begun. */
  readonly signal: AbortSignal;
  readonly #source: BlobStore;
  readonly #destination: BlobStore;
  readonly #options: BlobCopyOptions;
  readonly #limiter: Limiter;
  readonly #stop = new AbortController();
  readonly #begun = new Map<Digest, Promise<void>>();
  readonly #done = new Set<Digest>();
  #failure: { readonly error: unknown } | undefined;
  #sentBytes = 0;
  #sentBlobs = 0;

  constructor(source: BlobStore, destination: BlobStore, options: BlobCopyOptions) {
    const { parallel = PARALLEL, signal } = options;
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
    this.#limiter = new Limiter(parallel);
    this.signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    // Much of what a blob starts listens; Node takes more than ten listeners for a leak.
    setMaxListeners(0, this.signal);
  }

  get counts(): BlobCounts {
    const sentBlobs = this.#sentBlobs;
    return { sentBytes: this.#sentBytes, sentBlobs, presentBlobs: this.#done.size - sentBlobs };
  }

  /** Copies a blob, which the source has, while others are still to come. What became of it, `all` tells. */
  begin(blob: Descriptor): void {
    if (this.#begun.has(blob.digest) || this.#done.has(blob.digest)) return;
    const copying = this.#limiter.run(() => this.#one(blob, this.signal), this.signal);
    this.#begun.set(
      blob.digest,
      copying.catch((error: unknown) => {
        this.#failure ??= { error };
        this.#stop.abort(error);
      }),
    );
  }

  /** Throws the failure of a blob that was begun. */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  /** Copies the rest of these, after what was begun. The largest first: what begins last should not take longest. */
  async all(blobs: readonly Descriptor[]): Promise<void> {
    await Promise.all(this.#begun.values());
    this.throwIfFailed();
    const fresh = new Map(blobs.filter(blob => !this.#done.has(blob.digest)).map(blob => [blob.digest, blob]));
    const wanted = [...fresh.values()].toSorted((a, b) => b.size - a.size);
    const { parallel = PARALLEL } = this.#options;
    await mapLimited(wanted, parallel, (blob, inner) => this.#one(blob, inner), this.signal);
  }

  async #one(blob: Descriptor, signal: AbortSignal): Promise<void> {
    const { emit = silent, group } = this.#options;
    const kind = this.#destination.place.kind === 'docker' ? 'push' : 'copy';
    await withTask(
      emit,
      { group, kind, label: blob.digest.slice(7, 19) },
      async task => {
        if (await this.#isElsewhere(blob, signal)) return task.finish('cached', 'kept by its publisher');
        const sent = await this.#put(blob, done => task.progress(done, blob.size), signal);
        this.#done.add(blob.digest);
        if (!sent) return task.finish('cached', 'already there');
        this.#sentBlobs++;
        this.#sentBytes += blob.size;
        task.finish('done', formatBytes(blob.size));
      },
      signal,
    );
  }

  /** Whether bytes had to be sent. What a registry accepted and then lost is sent once more. */
  async #put(blob: Descriptor, onProgress: (doneBytes: number) => void, signal: AbortSignal): Promise<boolean> {
    const mountFrom = this.#source.place;
    let sent = false;
    const read = () => {
      sent = true;
      return this.#source.readBlob(blob, { signal });
    };
    for (let attempt = 1; ; attempt++) {
      await this.#destination.putBlob(blob, read, { signal, onProgress, mountFrom, verified: true });
      if (!sent || !(await this.#isLost(blob, signal))) return sent;
      if (attempt < 2) continue;
      throw new StkError('registry', `${this.#destination.name} accepted blob ${blob.digest} but does not have it`, {
        hint: 'the registry loses what it is sent: look at its log and its storage; no tag was moved',
        facts: { digest: blob.digest, sizeBytes: blob.size },
      });
    }
  }

  /** A registry that cannot say what it has may have it: it looks itself when it is given the manifest. */
  async #isLost(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    try {
      return !(await this.#destination.hasBlob(blob, { signal, patienceMs: COURTESY_MS }));
    } catch (error) {
      if (signal.aborted || !isStkError(error, 'registry', 'network')) throw error;
      return false;
    }
  }

  /** Layers whose publisher forbids copies are fetched from the publisher (image-spec, layer.md, "Non-Distributable"). */
  async #isElsewhere(blob: Descriptor, signal: AbortSignal): Promise<boolean> {
    if (!blob.urls || blob.urls.length === 0 || !/foreign|nondistributable/.test(blob.mediaType)) return false;
    return !(await this.#source.hasBlob(blob, { signal }));
  }

  /** Ends what was begun. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new StkError('interrupted', 'the copy was given up'));
    await Promise.all(this.#begun.values());
  }
}
