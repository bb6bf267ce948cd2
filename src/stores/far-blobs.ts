import type { AsyncScope } from '../core/async-scope.ts';
import type { BlobReader } from '../core/blob-reader.ts';
import { StkError } from '../core/errors.ts';
import type { FarPlace } from '../lazy/far-place.ts';
import { AttendedBlob } from '../lazy/attended-blob.ts';
import { completeBlob } from '../lazy/complete-blob.ts';
import { LazyBlob } from '../lazy/lazy-blob.ts';
import { newCounters, type LazyCounters } from '../lazy/lazy-counters.ts';
import type { OpenFar } from '../lazy/open-served-blob.ts';
import { PartCache } from '../lazy/part-cache.ts';
import { NO_PARTS } from '../lazy/part-file.ts';
import { PatientSource } from '../lazy/patient-source.ts';
import { RequestQueue } from '../lazy/request-queue.ts';
import { TraceRecorder } from '../lazy/read-trace.ts';
import type { ExpectedBlob } from '../lazy/verified-reader.ts';
import { keepMetricsFile } from './metrics-file.ts';
import { Registries } from './registries.ts';

export interface FarBlobsOptions {
  /** A registry, as the settings of a place have it; asked for again when what it knew may be stale. */
  readonly registriesOf: (place: FarPlace) => Registries;
  /** Takes the place of the place's own: for who would rather fail soon. */
  readonly patienceMs?: number;
}

/** Requests that one registry gets at once. */
const REQUESTS_AT_ONCE = 8;

/** Blobs of registries that are fetched as they are read: those of one process share its limits, its cache and its counts. */
export class FarBlobs {
  readonly counters: LazyCounters = newCounters();
  readonly #options: FarBlobsOptions;
  readonly #queues = new Map<string, RequestQueue>();
  readonly #caches = new Map<string, PartCache>();

  constructor(options: FarBlobsOptions) {
    this.#options = options;
  }

  /** Throws `unsupported` for a blob without a verity root, and as `LazyBlob.open`. The caller disposes the reader. */
  async open(place: FarPlace, blob: ExpectedBlob, signal?: AbortSignal): Promise<BlobReader> {
    const { host, repository, mediaType, insecure } = place;
    const { digest, sizeBytes, verityRoot } = blob;
    const name = `docker://${host}/${repository}@${digest}`;
    if (verityRoot === undefined) {
      throw new StkError('unsupported', `${name} has no verity root, so parts of it cannot be checked`, {
        hint: 'it has to be fetched as a whole',
      });
    }
    const source = new PatientSource({
      open: () => this.#options.registriesOf(place).open({ kind: 'docker', host, repository }, insecure),
      queue: this.#queue(host),
      patienceMs: this.#options.patienceMs ?? place.patienceMs,
      counters: this.counters,
    });
    const cache = this.#cache(place);
    const parts = (await cache?.open({ digest, sizeBytes, verityRoot })) ?? NO_PARTS;
    const descriptor = { mediaType, digest, size: sizeBytes };
    const { counters } = this;
    const reader = await LazyBlob.open({ descriptor, verityRoot, name, source, parts, counters }, signal);
    if (!place.prefetch && !place.completeAt && !place.recordTo) return reader;
    return new AttendedBlob(reader, {
      prefetch: place.prefetch ?? [],
      recorder: place.recordTo && new TraceRecorder(place.recordTo),
      digest,
      complete: async ending => {
        if (!place.completeAt || !cache) return;
        const blob = { reader, digest, sizeBytes, parts: cache.partPath(digest), target: place.completeAt };
        await completeBlob(blob, ending);
      },
    });
  }

  #queue(host: string): RequestQueue {
    const known = this.#queues.get(host) ?? new RequestQueue(REQUESTS_AT_ONCE);
    this.#queues.set(host, known);
    return known;
  }

  #cache({ cache, cacheBytes }: FarPlace): PartCache | undefined {
    if (cache === undefined) return undefined;
    const known = this.#caches.get(cache) ?? new PartCache(cache, cacheBytes);
    this.#caches.set(cache, known);
    return known;
  }
}

/** Opens blobs in a process that serves others: settings come with each place. */
export function farOpener(options: {
  readonly version: string;
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}): OpenFar {
  const { version, scope, signal } = options;
  const known = new Map<string, Registries>();
  const registriesOf = ({ environment }: FarPlace) => {
    const key = JSON.stringify(environment);
    const registries =
      known.get(key) ??
      new Registries({ environment, userAgent: `stk/${version}`, scope, signal, onMirrorPassed: () => {} });
    known.set(key, registries);
    return registries;
  };
  const blobs = new FarBlobs({ registriesOf });
  let keepsMetrics = false;
  return (place, blob, opening) => {
    if (place.cache && !keepsMetrics) scope.use(keepMetricsFile(place.cache, blobs.counters));
    keepsMetrics ||= place.cache !== undefined;
    return blobs.open(place, blob, opening);
  };
}
