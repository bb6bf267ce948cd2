import type { Digest } from '../core/digest.ts';
import { withTask, type Emit } from '../core/events.ts';
import { joinInside } from '../core/paths.ts';
import { convertSquashfsLayer } from '../layer/squashfs-to-tar.ts';
import { composeImage, type AddedLayer, type ComposedLayer, type ImageParts } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { contentKey } from '../plan/content-key.ts';
import { isDigest } from '../core/digest.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import { LAYER_ROLE, withRole } from '../sources/layer-descriptor.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { LayerType } from './layer-types.ts';

/** An image to be written, its layers still in squashfs form. */
export interface ImageToEmit extends Omit<ImageParts, 'baseLayers' | 'added'> {
  readonly baseLayers: readonly StackLayer[];
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
  name: string,
  image: ImageToEmit,
  type: LayerType,
  ports: EmitPorts,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const compose = type === 'squashfs' ? squashfsLayer : (layer: StackLayer) => tarLayer(name, layer, ports, signal);
  const baseLayers: ComposedLayer[] = [];
  for (const layer of image.baseLayers) {
    const composed = await compose(layer);
    baseLayers.push({ ...composed, descriptor: withRole(composed.descriptor, 'base') });
  }
  const added: AddedLayer[] = [];
  for (const { layer, created, createdBy } of image.steps) {
    added.push({ layer: layer && (await compose({ squashfs: layer })), created, createdBy });
  }
  const { config, manifest } = composeImage({ ...image, baseLayers, added });
  await ports.layout.putBlob(config.descriptor, () => once(config.bytes), signal ? { signal } : {});
  await ports.layout.putBlob(manifest.descriptor, () => once(manifest.bytes), signal ? { signal } : {});
  return manifest.descriptor;
}

/** The diff ID of a squashfs layer is its own digest. */
async function squashfsLayer(layer: StackLayer): Promise<ComposedLayer> {
  return { descriptor: layer.squashfs, diffId: layer.squashfs.digest };
}

/** A layer that came as a tar goes out as the same blob; any other is converted once and remembered. */
async function tarLayer(
  name: string,
  layer: StackLayer,
  ports: EmitPorts,
  signal: AbortSignal | undefined,
): Promise<ComposedLayer> {
  if (layer.tar && (await ports.layout.hasBlob(layer.tar.descriptor))) return layer.tar;
  const source = layer.squashfs;
  const key = contentKey('to-tar', undefined, { source: source.digest, compression: 'gzip' });
  const known = asTarRecord(await ports.records.get('convert', key));
  const found =
    known && (await ports.layout.hasBlob(known.descriptor)) ? known : await convert(name, source, ports, signal);
  if (found !== known) await ports.records.put('convert', key, found as unknown as JsonValue);
  const role = source.annotations?.[LAYER_ROLE];
  if (role === undefined) return found;
  return { ...found, descriptor: { ...found.descriptor, annotations: { [LAYER_ROLE]: role } } };
}

async function convert(
  name: string,
  source: Descriptor,
  ports: EmitPorts,
  signal: AbortSignal | undefined,
): Promise<ComposedLayer> {
  const { layout } = ports;
  const label = { group: name, kind: 'convert', label: `${source.digest.slice(7, 19)} to tar` } as const;
  return withTask(
    ports.emit,
    label,
    async () => {
      await using temporary = await layout.makeTemp();
      const output = joinInside(temporary.path, 'layer');
      const input = layout.blobPath(source.digest);
      const tar = await convertSquashfsLayer({ input, output, compression: 'gzip', ...(signal ? { signal } : {}) });
      const descriptor: Descriptor = { mediaType: MediaType.layerTarGzip, digest: tar.digest, size: tar.sizeBytes };
      await layout.adoptBlob(output, descriptor);
      return { descriptor, diffId: tar.diffId };
    },
    signal,
  );
}

function asTarRecord(value: JsonValue | undefined): ComposedLayer | undefined {
  if (typeof value !== 'object' || value === null || !('diffId' in value)) return undefined;
  const { diffId, descriptor } = value as unknown as { diffId: Digest; descriptor?: Descriptor };
  return isDigest(diffId) && isDigest(descriptor?.digest) ? { diffId, descriptor } : undefined;
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}
