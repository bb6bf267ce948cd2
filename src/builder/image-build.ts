import type { CacheKey } from '../core/digest.ts';
import type { Emit } from '../core/events.ts';
import type { SingleFlight } from '../core/single-flight.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { ImageDefinition } from '../recipe/model.ts';
import type { BasePorts } from '../sources/bases.ts';
import type { FileDigests } from '../sources/file-digests.ts';
import type { ImportPorts } from '../sources/imports.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { StepCaches } from '../sources/step-cache.ts';
import type { MergeRecord } from './applied-layers.ts';
import type { Workshop } from './do-step.ts';
import type { BuildOptions } from './options.ts';
import type { Provenance } from './provenance.ts';
import type { StepRecord } from './step-record.ts';

/** What building one image takes. */
export interface ImageBuild {
  readonly definition: ImageDefinition;
  readonly options: BuildOptions;
  readonly provenance: Provenance;
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  readonly files: FileDigests;
  readonly bases: BasePorts;
  readonly imports: ImportPorts;
  /** Called at the first thing that is not in the cache; may refuse by throwing. */
  readonly workshop: () => Promise<Workshop>;
  readonly stepCaches?: StepCaches | undefined;
  readonly emit: Emit;
  /** Steps that are being done, shared by all images of the build. */
  readonly steps: SingleFlight<CacheKey, StepOutcome>;
  /** Merges that are being made, shared likewise. */
  readonly merges: SingleFlight<CacheKey, MergeRecord>;
  readonly signal: AbortSignal;
}

/** A step's record, and whether it was done just now. */
export interface StepOutcome {
  readonly record: StepRecord;
  readonly fresh: boolean;
}
