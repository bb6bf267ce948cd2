import type { AsyncScope } from '../core/async-scope.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { RecordCache } from '../sources/record-cache.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import { DocumentMemory } from './document-memory.ts';
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

/** An image with what chose it. */
export interface SurveyedImage extends ImageState {
  readonly selected: SelectedTag;
}

export interface Survey {
  /** In the order of the tags, those of an index in its order. */
  readonly images: readonly SurveyedImage[];
  readonly failed: readonly FailedPlace[];
}

/** Images that are looked at side by side: all of it is waiting for registries. */
const PARALLEL = 16;

/** What of some images is behind. An image that cannot be read hides no other. */
export async function survey(tags: readonly SelectedTag[], ports: SurveyPorts): Promise<Survey> {
  const memory = new DocumentMemory(ports.records);
  const parts = new PartsNow({ given: new Map(), ...ports, memory });
  const failed: FailedPlace[] = [];
  const found = await mapLimited(
    tags,
    PARALLEL,
    async (selected, signal) => {
      try {
        const states = await imageStates(selected, selected.by.platforms, { memory, parts, signal });
        return states.map(state => ({ ...state, selected }));
      } catch (error) {
        if (!isStkError(error) || signal.aborted) throw error;
        failed.push({ name: selected.name, error });
        return [];
      }
    },
    ports.signal,
  );
  return { images: found.flat(), failed };
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
