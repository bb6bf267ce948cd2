import type { AbsPath } from '../core/paths.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** A squashfs blob on disk. */
export interface LayerFile {
  readonly descriptor: Descriptor;
  readonly file: AbsPath;
}

/** Mounts layers for as long as it lives, each once. */
export interface MountedLayers {
  /**
   * Mounts a stack given from the bottom up, read-only, and returns it uppermost first, each layer once: overlayfs refuses a
   * directory that stands twice in a stack, and below its uppermost place a layer has nothing to say that it does not say
   * above.
   */
  mountStack(layers: readonly LayerFile[], signal?: AbortSignal): Promise<AbsPath[]>;
}
