import type { AsyncScope } from '../core/async-scope.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import { DocumentMemory, type KnownDocument } from './document-memory.ts';
import { imageStates, type ImageState } from './image-state.ts';
import { PartsNow } from './parts-now.ts';
import type { FailedPlace, SelectedTag } from './select-images.ts';

export interface SurveyPorts {
  readonly stores: ImageStores;
  readonly records: RecordCache;
  /** Where new versions of entries are, whatever images say. */
  readonly given?: ReadonlyMap<string, string | undefined>;
  readonly countVersions: boolean;
  readonly tlsVerify: boolean;
  /** Owns what is opened. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** A tag of a fleet, what it stands for, and the images of that. */
export interface SurveyedTag {
  readonly selected: SelectedTag;
  readonly document: KnownDocument;
  readonly images: readonly ImageState[];
}

export interface Survey {
  /** In the order of the tags, those of an index in its order; without what is no image. */
  readonly tags: readonly SurveyedTag[];
  readonly failed: readonly FailedPlace[];
}

/** Images that are looked at side by side: all of it is waiting for registries. */
const PARALLEL = 16;

/** Looks at tags; what it learns of bases and applied images serves all. */
export class Surveyor {
  readonly memory: DocumentMemory;
  readonly #parts: PartsNow;
  readonly #signal: AbortSignal;

  constructor(ports: SurveyPorts) {
    this.memory = new DocumentMemory(ports.records);
    this.#parts = new PartsNow({ given: new Map(), ...ports, memory: this.memory });
    this.#signal = ports.signal;
  }

  /** What of some images is behind. An image that cannot be read hides no other. */
  async all(tags: readonly SelectedTag[]): Promise<Survey> {
    const failed: FailedPlace[] = [];
    const found = await mapLimited(
      tags,
      PARALLEL,
      async (selected, signal) => {
        try {
          return [await this.one(selected, signal)];
        } catch (error) {
          if (!isStkError(error) || signal.aborted) throw error;
          failed.push({ name: selected.name, error });
          return [];
        }
      },
      this.#signal,
    );
    return { tags: found.flat().filter(({ images }) => images.length > 0), failed };
  }

  /** Throws `not-found`, and as manifests are read. */
  async one(selected: SelectedTag, signal: AbortSignal): Promise<SurveyedTag> {
    const { store, tag, name, by } = selected;
    const document = await this.memory.read(store, tag, name, signal);
    const ports = { memory: this.memory, parts: this.#parts, signal };
    return { selected, document, images: await imageStates(selected, document, by.platforms, ports) };
  }
}

/** An image is as far behind as any of its parts. */
export function isBehind({ parts }: Pick<ImageState, 'parts'>): boolean {
  return parts.some(({ state }) => state === 'behind');
}

/** Throws the first failure with the names of all; nothing where there is none. */
export function throwFailedPlaces(failed: readonly FailedPlace[]): void {
  const [first] = failed;
  if (first === undefined) return;
  const lines = failed.map(({ name, error }) => `${name}: ${error.message}`);
  throw new StkError(first.error.code, `${failed.length} could not be looked at:\n${lines.join('\n')}`, {
    cause: first.error,
    ...(first.error.hint === undefined ? {} : { hint: first.error.hint }),
  });
}
