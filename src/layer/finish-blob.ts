import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from './layer-blob.ts';

export interface FinishOptions {
  readonly verity: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Appends the verity tree where wanted, syncs the file, and tells digest and size; the image is read once. */
export async function finishBlob(_file: AbsPath, _options: FinishOptions): Promise<LayerBlob> {
  throw new Error('not implemented');
}
