import type { CacheKey } from '../core/digest.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';

/** What a finished step left behind. */
export interface StepRecord {
  /** The layer, a squashfs blob of the layout; `undefined` where the step changed no file. */
  readonly layer: Descriptor | undefined;
  /** RFC 3339. */
  readonly created: string;
  /** Labels that the step generated. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** Finished steps that several machines share. It never fails a build: what goes wrong is said, and counts as unknown. */
export interface StepCache {
  /** The record of a step, its layer brought into the layout; `undefined` where the cache does not know it. */
  findStep(key: CacheKey, layout: LayoutStore, signal?: AbortSignal): Promise<StepRecord | undefined>;
  /** Begins to store a step whose layer is in the layout, and returns at once. */
  rememberStep(key: CacheKey, record: StepRecord, layout: LayoutStore, signal?: AbortSignal): void;
}

/** The caches of a build. */
export interface StepCaches {
  readonly from: readonly StepCache[];
  readonly to: readonly StepCache[];
}
