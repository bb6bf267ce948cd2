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

/** One squashfs layer of an image in a layout. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly file: AbsPath;
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

/**
 * Finds an image of a layout; an index gives the image for the platform. Throws as `findManifest` does.
 * @param digest what to read instead of where the tag points now
 */
export async function readLayeredImage(
  layout: LayoutStore,
  tag: string,
  platform: Platform,
  digest?: Digest,
): Promise<LayeredImage> {
  const { descriptor, manifest } = await findManifest(layout, digest ?? tag, platform);
  return { name: `${layout.name}:${tag}`, digest: descriptor.digest, manifest };
}

/**
 * The image's layers from the bottom up, as its manifest tells them. Throws `unsupported` for layers that are no squashfs
 * and `invalid-input` for an image without layers or with a malformed root hash.
 */
export function imageLayers(layout: LayoutStore, image: LayeredImage): readonly ImageLayer[] {
  const { layers } = image.manifest;
  if (layers.length === 0)
    throw new StkError('invalid-input', `${image.name} has no layers: there is nothing to mount`);
  for (const layer of layers) assertSquashfs(image, layer);
  return layers.map(descriptor => ({
    descriptor,
    file: layout.blobPath(descriptor.digest),
    verityRoot: verityRootOf(descriptor),
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
