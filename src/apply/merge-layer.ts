import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from '../layer/layer-blob.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeResult } from './merge-result.ts';

export interface MergeLayerRequest {
  /** Without conflicts, and not empty. */
  readonly result: MergeResult;
  /** The one that the result answers. */
  readonly problem: MergeProblem;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly packing: PackOptions;
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the entries of a merge as one squashfs layer. */
export async function writeMergeLayer(request: MergeLayerRequest): Promise<LayerBlob> {
  throw new Error(`not written yet: ${request.output}`);
}
