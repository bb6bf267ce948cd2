import type { JsonValue } from '../core/canonical-json.ts';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { withTask, type Emit } from '../core/events.ts';
import { joinInside } from '../core/paths.ts';
import { blame } from '../layer/find-fault.ts';
import { convertSquashfsLayer } from '../layer/squashfs-to-tar.ts';
import type { ComposedLayer } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { MediaType } from '../oci/media-types.ts';
import { contentKey } from '../plan/content-key.ts';
import { LAYER_ROLE } from '../oci/layer-annotations.ts';
import type { StackLayer } from './ports.ts';
import type { RecordCache } from './record-cache.ts';

export interface TarLayerPorts {
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  readonly emit: Emit;
}

/** A layer that came as a tar goes out as the same blob; any other is converted once and remembered. */
export async function tarLayer(
  name: string,
  layer: StackLayer,
  ports: TarLayerPorts,
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
  ports: TarLayerPorts,
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
      const tar = await convertSquashfsLayer({ input, output, compression: 'gzip', signal }).catch((error: unknown) =>
        blame(error, [{ file: input, descriptor: source }], signal).catch((fault: unknown) => {
          throw unreadable(source, fault);
        }),
      );
      const descriptor: Descriptor = { mediaType: MediaType.layerTarGzip, digest: tar.digest, size: tar.sizeBytes };
      await layout.adoptBlob(output, descriptor);
      return { descriptor, diffId: tar.diffId };
    },
    signal,
  );
}

/** Of bytes that are those of the digest, a reader that ends by itself says that it cannot read them. */
function unreadable(source: Descriptor, fault: unknown): unknown {
  if (!isStkError(fault, 'tool-failed') || fault.facts['exitCode'] === undefined) return fault;
  return new StkError('invalid-input', `layer ${source.digest} cannot be read: ${fault.message}`, {
    cause: fault,
    hint: 'the image was made by a broken tool; build it again',
    facts: { digest: source.digest },
  });
}

function asTarRecord(value: JsonValue | undefined): ComposedLayer | undefined {
  if (typeof value !== 'object' || value === null || !('diffId' in value)) return undefined;
  const { diffId, descriptor } = value as unknown as { diffId: Digest; descriptor?: Descriptor };
  return isDigest(diffId) && isDigest(descriptor?.digest) ? { diffId, descriptor } : undefined;
}
