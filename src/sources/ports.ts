import type { Descriptor, ImageConfig } from '../oci/descriptor.ts';
import type { Digest } from '../core/digest.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { ImageReference } from '../recipe/model.ts';

/** Opens the store behind a reference to an existing image and says what to ask it for. */
export type OpenImageStore = (reference: Exclude<ImageReference, { type: 'built' }>) => Promise<OpenedImage>;

export interface OpenedImage {
  readonly store: BlobStore;
  readonly reference: string;
  /** Told the layers of the image as its manifest names them, where somebody trusted vouches for it. */
  readonly vouch?: ((layers: readonly Descriptor[]) => void) | undefined;
}

/** What an image's annotations say of its base. */
export interface NamedBase {
  readonly name: string | undefined;
  readonly digest: Digest | undefined;
}

/** What the build knows of an image that it has built. */
export interface BuiltImage {
  readonly name: string;
  /** Bottom up; squashfs blobs of the layout. */
  readonly layers: readonly StackLayer[];
  readonly config: ImageConfig;
  readonly manifest: Descriptor;
  /** Base that its manifest names. */
  readonly base: NamedBase | undefined;
}

/** One layer of a stack. */
export interface StackLayer {
  /** A squashfs blob in the layout. */
  readonly squashfs: Descriptor;
  /** The tar blob that it was converted from, where one was. */
  readonly tar?: { readonly descriptor: Descriptor; readonly diffId: Digest };
}
