import type { Descriptor, ImageConfig } from '../oci/descriptor.ts';
import type { Digest } from '../core/digest.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { ImageReference } from '../recipe/model.ts';

/** Opens the store behind a reference to an existing image and says what to ask it for. */
export type OpenImageStore = (
  reference: Exclude<ImageReference, { type: 'built' }>,
) => Promise<{ readonly store: BlobStore; readonly reference: string }>;

/** What the build knows of an image that it has built. */
export interface BuiltImage {
  readonly name: string;
  /** Bottom up; squashfs blobs of the layout. */
  readonly layers: readonly StackLayer[];
  readonly config: ImageConfig;
  readonly manifest: Descriptor;
}

/** One layer of a stack. */
export interface StackLayer {
  /** A squashfs blob in the layout. */
  readonly squashfs: Descriptor;
  /** The tar blob that it was converted from, where one was. */
  readonly tar?: { readonly descriptor: Descriptor; readonly diffId: Digest };
}
