import type { Digest } from '../core/digest.ts';
import type { Emit } from '../core/events.ts';
import { composeImage, type AddedLayer, type ComposedLayer, type ImageParts } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { followLayers } from '../oci/layer-annotations.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { withRole } from '../sources/layer-descriptor.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import { tarLayer } from '../sources/tar-layers.ts';
import type { AppliedLayer } from './applied-layers.ts';
import type { LayerType } from './layer-types.ts';
import { putDocument } from '../oci/put-document.ts';

/** An image to be written, its layers still in squashfs form. */
export interface ImageToEmit extends Omit<ImageParts, 'baseLayers' | 'added'> {
  readonly name: string;
  readonly baseLayers: readonly StackLayer[];
  readonly applied: readonly AppliedLayer[];
  readonly steps: readonly EmittedStep[];
}

export interface EmittedStep {
  readonly layer: Descriptor | undefined;
  readonly created: string;
  readonly createdBy: string;
}

export interface EmitPorts {
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  readonly emit: Emit;
}

/** Writes configuration and manifest of an image with layers of one type; returns the manifest's descriptor. */
export async function emitImage(
  image: ImageToEmit,
  type: LayerType,
  ports: EmitPorts,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const composed = new Map<Digest, Digest>();
  const compose = async (layer: StackLayer): Promise<ComposedLayer> => {
    const made = type === 'squashfs' ? await squashfsLayer(layer) : await tarLayer(image.name, layer, ports, signal);
    composed.set(layer.squashfs.digest, made.descriptor.digest);
    return made;
  };
  const baseLayers: ComposedLayer[] = [];
  for (const layer of image.baseLayers) {
    const one = await compose(layer);
    baseLayers.push({ ...one, descriptor: withRole(one.descriptor, 'base') });
  }
  const added: AddedLayer[] = [];
  for (const { layer, role, annotations, created, createdBy } of image.applied) {
    const one = await compose(layer);
    const descriptor = withRole(one.descriptor, role, annotations);
    added.push({ layer: { ...one, descriptor }, created, createdBy });
  }
  for (const { layer, created, createdBy } of image.steps) {
    added.push({ layer: layer && (await compose({ squashfs: layer })), created, createdBy });
  }
  const annotations = type === 'squashfs' ? image.annotations : followLayers(image.annotations, composed);
  const { config, manifest } = composeImage({ ...image, annotations, baseLayers, added });
  for (const document of [config, manifest]) await putDocument(ports.layout, document, signal ? { signal } : {});
  return manifest.descriptor;
}

/** The diff ID of a squashfs layer is its own digest. */
async function squashfsLayer(layer: StackLayer): Promise<ComposedLayer> {
  return { descriptor: layer.squashfs, diffId: layer.squashfs.digest };
}
