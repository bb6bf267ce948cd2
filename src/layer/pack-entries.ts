import type { AbsPath } from '../core/paths.ts';
import type { LayerBlob } from './layer-blob.ts';
import type { LowerLookup } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';

/** Content for a place in the image. Directories take their whole content along; symlinks are kept, never followed. */
export interface LayerEntry {
  /** Path in the image, as text; parents that are not listed come from the lower layers, else 0755 root. */
  readonly path: string;
  /** A file or directory on the host, or the content itself. */
  readonly source:
    { readonly type: 'host'; readonly path: AbsPath } | { readonly type: 'content'; readonly bytes: Uint8Array };
  /** Permission bits of the named file, or of the named directory itself; the host's own where absent. */
  readonly mode?: number;
  /** Owner of everything in the entry; 0 where absent. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface PackEntriesRequest {
  readonly entries: readonly LayerEntry[];
  readonly lower: LowerLookup;
  readonly output: AbsPath;
  readonly options: PackOptions;
  readonly epochSeconds?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (doneBytes: number) => void;
}

/** Packs files of the host as a layer, without copying them first; later entries win over earlier ones. */
export async function packEntries(_request: PackEntriesRequest): Promise<LayerBlob> {
  throw new Error('not implemented');
}
