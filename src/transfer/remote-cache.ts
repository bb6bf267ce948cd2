import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { digestHex, digestOf, type CacheKey } from '../core/digest.ts';
import { StkError, isStkError, messageOf } from '../core/errors.ts';
import { say, withTask, type Emit } from '../core/events.ts';
import { Limiter } from '../core/limiter.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { jsonDocument, type Document } from '../oci/compose.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { MediaType, layerFormat } from '../oci/media-types.ts';
import { parseManifest } from '../oci/parse-manifest.ts';
import { readSmallBlob } from '../oci/read-small-blob.ts';
import type { StepCache, StepRecord } from '../sources/step-cache.ts';
import { putDocument } from '../oci/put-document.ts';

/** Type of a step's record, which is the configuration of its manifest. */
const STEP_RECORD = 'application/vnd.dev.stk.step.v1+json';

/** Steps stored side by side. */
const PARALLEL = 2;

/**
 * A build cache in any store: for each step a manifest under a tag made of the step's key, whose configuration is the
 * record and whose layer is the step's. A lookup is one request where nothing is found. Writers need no lock: a tag is
 * put in one piece, and two records under one key are results of the same inputs, either of which will do.
 *
 * Whoever can write to the store decides what builds that read from it consist of.
 */
export class RemoteCache implements StepCache, AsyncDisposable {
  readonly #store: BlobStore;
  readonly #emit: Emit;
  readonly #uploads = new Limiter(PARALLEL);
  readonly #pending = new Set<Promise<void>>();
  #failed = false;

  constructor(store: BlobStore, emit: Emit) {
    this.#store = store;
    this.#emit = emit;
  }

  async findStep(key: CacheKey, layout: LayoutStore, signal?: AbortSignal): Promise<StepRecord | undefined> {
    return this.#harmless('read', signal, () => this.#find(key, layout, signal));
  }

  rememberStep(key: CacheKey, record: StepRecord, layout: LayoutStore, signal?: AbortSignal): void {
    const work = () => this.#harmless('write', signal, () => this.#put(key, record, layout, signal));
    const upload: Promise<void> = this.#uploads
      .run(work, signal)
      .catch(() => {})
      .finally(() => this.#pending.delete(upload));
    this.#pending.add(upload);
  }

  /** Waits for everything that is being stored. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  async #find(key: CacheKey, layout: LayoutStore, signal: AbortSignal | undefined): Promise<StepRecord | undefined> {
    const call = signal ? { signal } : {};
    const tag = stepTag(key);
    const read = await this.#store.readManifest(tag, call).catch((error: unknown) => {
      if (isStkError(error, 'not-found')) return undefined;
      throw error;
    });
    if (!read) return undefined;
    const parsed = parseManifest(read.bytes, `${this.#store.name} ${tag}`);
    if (parsed.kind !== 'manifest' || parsed.manifest.config.mediaType !== STEP_RECORD) throw this.#strange(tag);
    const config = await readSmallBlob(this.#store, parsed.manifest.config, call);
    const record = parseRecord(config, key, parsed.manifest);
    if (!record) throw this.#strange(tag);
    const { layer } = record;
    if (layer && !(await layout.hasBlob(layer))) {
      const task = { group: this.#store.name, kind: 'pull', label: `step ${digestHex(key).slice(0, 12)}` } as const;
      await withTask(
        this.#emit,
        task,
        handle =>
          layout.putBlob(layer, () => this.#store.readBlob(layer, call), {
            ...call,
            verified: true,
            onProgress: done => handle.progress(done, layer.size),
          }),
        signal,
      );
    }
    return record;
  }

  async #put(
    key: CacheKey,
    record: StepRecord,
    layout: LayoutStore,
    signal: AbortSignal | undefined,
  ): Promise<undefined> {
    const call = signal ? { signal } : {};
    const tag = stepTag(key);
    if (await this.#store.resolve(tag, call)) return undefined;
    const document = recordDocument(key, record);
    const empty = jsonDocument({}, MediaType.empty);
    const { layer } = record;
    if (layer) await this.#store.putBlob(layer, () => layout.readBlob(layer, call), { ...call, verified: true });
    else await putDocument(this.#store, empty, call);
    await putDocument(this.#store, document, call);
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MediaType.manifest,
      artifactType: STEP_RECORD,
      config: document.descriptor,
      layers: [layer ?? empty.descriptor],
    };
    await this.#store.putManifest(jsonDocument(manifest, MediaType.manifest), tag, call);
    return undefined;
  }

  /** Says the first failure; later ones are likely the same. */
  async #harmless<T>(
    verb: 'read' | 'write',
    signal: AbortSignal | undefined,
    work: () => Promise<T | undefined>,
  ): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted || isStkError(error, 'storage') || !isStkError(error)) throw error;
      const level = this.#failed ? 'debug' : 'warning';
      this.#failed = true;
      say(this.#emit, level, `cannot ${verb} build cache ${this.#store.name}: ${messageOf(error)}`);
      return undefined;
    }
  }

  #strange(tag: string): StkError {
    return new StkError('invalid-input', `${this.#store.name}: ${tag} is no record of the step that it is named after`);
  }
}

/** At most 128 characters are allowed. */
function stepTag(key: CacheKey): string {
  return `stk-step-${digestHex(key)}`;
}

function recordDocument(key: CacheKey, { layer, created, labels }: StepRecord): Document {
  const value = { key, layer: layer ?? null, created, labels: labels ?? {} };
  const bytes = Buffer.from(canonicalJson(value as unknown as JsonValue));
  return { descriptor: { mediaType: STEP_RECORD, digest: digestOf(bytes), size: bytes.byteLength }, bytes };
}

/** A record that belongs to its key and its manifest. */
function parseRecord(bytes: Buffer, key: CacheKey, manifest: Manifest): StepRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const written = value as { key?: unknown; layer?: Descriptor | null; created?: unknown; labels?: unknown };
  const { created, labels = {} } = written;
  if (written.key !== key || typeof created !== 'string' || !isTextMap(labels)) return undefined;
  const kept = Object.keys(labels).length === 0 ? {} : { labels };
  if (written.layer === null) return { layer: undefined, created, ...kept };
  // The manifest's descriptor is well formed: parsing it has shown that.
  const [layer] = manifest.layers;
  if (!layer || layer.digest !== written.layer?.digest || layerFormat(layer.mediaType).kind !== 'squashfs') {
    return undefined;
  }
  return { layer, created, ...kept };
}

function isTextMap(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && Object.values(value).every(text => typeof text === 'string');
}
