import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from './layer-blob.ts';
import type { LowerTree } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';

export interface PackRequest {
  /** Upper directory of an overlay. It is modified (xattrs, excluded paths) and belongs to the packer. */
  readonly upper: AbsPath;
  readonly lower: LowerTree;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly options: PackOptions;
  /** Paths in the image, and what is below them, that do not become part of the layer. */
  readonly exclude?: readonly string[];
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number;
  readonly signal?: AbortSignal | undefined;
  /** Receives the bytes written so far. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Receives what was left out and why. */
  readonly onWarning?: (text: string) => void;
}

/** A packed layer; where `empty`, nothing but the root directory was there and no file was written. */
export type PackedLayer =
  | { readonly empty: true; readonly entries: 0 }
  | (LayerBlob & { readonly empty: false; /** Nodes without the root directory. */ readonly entries: number });

/** Packs the upper directory of an overlay as a squashfs layer. */
export async function packLayer(_request: PackRequest): Promise<PackedLayer> {
  throw new Error('not implemented');
}
