import type { BlobReader } from '../core/blob-reader.ts';
import type { Digest } from '../core/digest.ts';
import type { LazyBlob } from './lazy-blob.ts';
import type { Range, TraceRecorder } from './read-trace.ts';

export interface Attendance {
  readonly digest: Digest;
  /** Fetched ahead, in this order. */
  readonly prefetch: readonly Range[];
  /** Fetches the rest. */
  readonly complete: (signal: AbortSignal) => Promise<void>;
  /** Hears what is read; ends with the reader. */
  readonly recorder?: TraceRecorder | undefined;
}

/** Reads that are on their way ahead of the reader: the limit of the registry counts for all blobs. */
const AHEAD = 4;

/** A blob that is fetched ahead of its readers, as far as it is known what they will read, and then to its end. */
export class AttendedBlob implements BlobReader {
  readonly sizeBytes: number;
  readonly name: string;
  readonly #reader: LazyBlob;
  readonly #attendance: Attendance;
  readonly #controller = new AbortController();
  readonly #ahead: Promise<void>;

  /** Takes ownership of the reader. */
  constructor(reader: LazyBlob, attendance: Attendance) {
    this.sizeBytes = reader.sizeBytes;
    this.name = reader.name;
    this.#reader = reader;
    this.#attendance = attendance;
    // What fails here is asked for again by whoever reads it, and fails there.
    this.#ahead = this.#fetchAhead(this.#controller.signal).catch(() => {});
  }

  async readAt(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const { recorder, digest } = this.#attendance;
    recorder?.add(digest, offset, length);
    return this.#reader.readAt(offset, length, signal);
  }

  async #fetchAhead(signal: AbortSignal): Promise<void> {
    const ranges = this.#attendance.prefetch.values();
    const worker = async () => {
      for (const [offset, length] of ranges) {
        if (offset < this.sizeBytes) await this.#reader.prefetch(offset, length, 'prefetch', signal);
      }
    };
    await Promise.all(Array.from({ length: AHEAD }, worker));
    await this.#attendance.complete(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#ahead;
    await this.#attendance.recorder?.[Symbol.asyncDispose]();
    await this.#reader[Symbol.asyncDispose]();
  }
}
