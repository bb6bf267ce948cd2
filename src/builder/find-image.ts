import type { Remark } from '../apply/driver.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import type { Descriptor, ImageConfig } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { ImageOrigin } from './image-origin.ts';
import { parseImageConfig, parseManifest } from '../oci/parse-manifest.ts';
import { namedBase } from '../sources/bases.ts';
import type { BuiltImage, NamedBase, StackLayer } from '../sources/ports.ts';
import type { MergedPath } from './applied-layers.ts';

export interface ImageResult extends KnownImage {
  /** How it came about, or would have. */
  readonly origin: ImageOrigin;
}

/** An image that is in the layout. */
export interface KnownImage extends BuiltImage {
  /** Manifest per wanted layer type, the first one first. */
  readonly manifests: readonly Descriptor[];
  /** Whether no step ran and nothing was written. */
  readonly cached: boolean;
  /** Paths that the merge layer settled. */
  readonly merged: readonly MergedPath[];
  readonly remarks: readonly Remark[];
}

/** What is remembered of an image that was written. */
export interface ImageRecord {
  readonly manifests: readonly Descriptor[];
  /** Bottom up. */
  readonly layers: readonly StackLayer[];
  readonly merged: readonly MergedPath[];
  readonly remarks: readonly Remark[];
}

/** The image of a record, if its manifests and every blob that they name are in the layout. */
export async function findImage(
  name: string,
  record: ImageRecord | JsonValue | undefined,
  layout: LayoutStore,
): Promise<KnownImage | undefined> {
  if (!isImageRecord(record)) return undefined;
  const { manifests, layers, merged, remarks } = record;
  const [first] = manifests;
  if (!first) return undefined;
  let config: ImageConfig | undefined;
  let base: NamedBase | undefined;
  for (const descriptor of manifests) {
    if (!(await layout.hasBlob(descriptor))) return undefined;
    const parsed = parseManifest(await readAll(layout, descriptor), descriptor.digest);
    if (parsed.kind !== 'manifest') return undefined;
    const { manifest } = parsed;
    for (const blob of [manifest.config, ...manifest.layers]) {
      if (!(await layout.hasBlob(blob))) return undefined;
    }
    config ??= parseImageConfig(await readAll(layout, manifest.config), manifest.config.digest);
    base ??= namedBase(manifest.annotations);
  }
  for (const layer of layers) if (!(await layout.hasBlob(layer.squashfs))) return undefined;
  return { name, manifest: first, manifests, config: config!, base, layers, merged, remarks, cached: true };
}

function isImageRecord(value: unknown): value is ImageRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'manifests' in value &&
    'layers' in value &&
    'merged' in value &&
    'remarks' in value
  );
}

async function readAll(layout: LayoutStore, descriptor: Descriptor): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
