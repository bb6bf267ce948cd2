import type { BlobReader } from '../core/blob-reader.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import { StkError } from '../core/errors.ts';
import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor, Manifest, Platform } from '../oci/descriptor.ts';
import { VERITY_ROOT } from '../oci/layer-annotations.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { layerFormat } from '../oci/media-types.ts';
import { findManifest } from '../oci/resolve-image.ts';

/** Annotations that hold the root hash of a layer's verity tree: the one written today, then its predecessor. */
const VERITY_ROOTS = [VERITY_ROOT, 'io.stackeroci.stacker.squashfs_verity_root_hash'] as const;

/** A layer whose bytes are not on this machine, or not all: a server fetches and checks what is read of it. */
export interface FarLayer {
  /** What the server finds it by; JSON. */
  readonly place: JsonValue;
  /** Its data, without the verity area behind it. The caller disposes the reader. */
  open(signal?: AbortSignal): Promise<BlobReader>;
}

/** Tells which layers of an image are not on this machine. */
export type FarLayers = (descriptor: Descriptor) => FarLayer | undefined;

/** One squashfs layer of an image in a layout. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  /** Of a far layer, where it would lie if it were here. */
  readonly file: AbsPath;
  /** Absent where the layer is here. */
  readonly far?: FarLayer | undefined;
  /** 64 lower-case hex digits, or `undefined` where the manifest promises no verity tree. */
  readonly verityRoot: string | undefined;
}

export interface LayeredImage {
  /** As a user would write it: `oci:DIR:TAG`. */
  readonly name: string;
  /** Of the manifest. */
  readonly digest: Digest;
  readonly manifest: Manifest;
}

/** Which image of a layout is meant. */
export interface WantedImage {
  readonly layout: LayoutStore;
  readonly tag: string;
  readonly platform: Platform;
  /** What to read instead of where the tag points now. */
  readonly digest?: Digest | undefined;
  /** What the user calls it, where that is not its name in the layout. */
  readonly imageName?: string | undefined;
}

/** Finds an image of a layout; an index gives the image for the platform. Throws as `findManifest` does. */
export async function readLayeredImage(wanted: WantedImage): Promise<LayeredImage> {
  const { layout, tag, platform, digest, imageName } = wanted;
  const { descriptor, manifest } = await findManifest(layout, digest ?? tag, platform);
  return { name: imageName ?? `${layout.name}:${tag}`, digest: descriptor.digest, manifest };
}

/**
 * The image's layers from the bottom up, as its manifest tells them. Throws `unsupported` for layers that are no squashfs
 * and `invalid-input` for an image without layers or with a malformed root hash.
 */
export function imageLayers(
  layout: LayoutStore,
  image: LayeredImage,
  far: FarLayers = () => undefined,
): readonly ImageLayer[] {
  const { layers } = image.manifest;
  if (layers.length === 0)
    throw new StkError('invalid-input', `${image.name} has no layers: there is nothing to mount`);
  for (const layer of layers) assertSquashfs(image, layer);
  return layers.map(descriptor => ({
    descriptor,
    file: layout.blobPath(descriptor.digest),
    verityRoot: verityRootOf(descriptor),
    far: far(descriptor),
  }));
}

function assertSquashfs(image: LayeredImage, layer: Descriptor): void {
  const { kind } = layerFormat(layer.mediaType);
  if (kind === 'squashfs') return;
  const what = kind === 'tar' ? 'a tar layer' : `a layer of unknown type ${layer.mediaType}`;
  throw new StkError('unsupported', `${image.name} cannot be mounted: ${layer.digest} is ${what}`, {
    hint:
      kind === 'tar'
        ? `turn it into squashfs layers first: stk convert ${image.name} oci:DIR:TAG`
        : 'only squashfs layers can be mounted; build or convert the image with stk',
    facts: { digest: layer.digest, mediaType: layer.mediaType },
  });
}

export function verityRootOf(descriptor: Descriptor): string | undefined {
  const roots = VERITY_ROOTS.flatMap(name => descriptor.annotations?.[name] ?? []);
  const [root] = roots;
  if (root === undefined) return undefined;
  if (roots.some(other => other !== root) || !/^[0-9a-f]{64}$/.test(root)) {
    throw new StkError('invalid-input', `layer ${descriptor.digest} has a bad verity root hash: ${roots.join(', ')}`, {
      hint: 'a root hash is 64 lower-case hex digits; the manifest is wrong, have its maker mend it',
      facts: { digest: descriptor.digest },
    });
  }
  return root;
}
