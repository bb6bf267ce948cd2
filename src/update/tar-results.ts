import { digestHex, type Digest } from '../core/digest.ts';
import { silent, type Emit } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { convertSquashfsLayer } from '../layer/squashfs-to-tar.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType, layerFormat } from '../oci/media-types.ts';
import { tarLayer } from '../sources/tar-layers.ts';
import { originalLayers, type FormedLayer, type ResultForm } from './result-form.ts';
import type { OpenConverter } from './squashfs-parts.ts';
import type { OriginalLayer, StoredImage, UpdateParts } from './update-plan.ts';
import { roleOf, type HeldLayer } from './update-segments.ts';

export type LayerType = 'squashfs' | 'tar';

export interface TarResultsContext {
  /** What new layers are; by default what all layers of the image are, squashfs where they are of both kinds. */
  readonly type: LayerType | undefined;
  /** A directory for layers that are made. */
  readonly scratch: AbsPath;
  readonly converter: () => Promise<OpenConverter>;
  readonly emit?: Emit;
  readonly signal: AbortSignal;
}

/**
 * The form of the results of an image that is worked on as squashfs: what it had stays the same blob; what is new is of one
 * type, a tar that another image brings the same blob as well. `undefined` where all is as it is worked on.
 */
export function resultForm(image: StoredImage, parts: UpdateParts, context: TarResultsContext): ResultForm | undefined {
  const before = originalLayers(image);
  const isTar = before.length > 0 && before.every(({ mediaType }) => layerFormat(mediaType).kind === 'tar');
  const { type = isTar ? 'tar' : 'squashfs' } = context;
  const form = formOf(image, parts, { ...context, type });
  if (!parts.unrecorded) return form;
  const descriptors = new Map(before.map(descriptor => [descriptor.digest, descriptor]));
  return async formed => {
    const { layer, from } = form ? await form(formed) : formed;
    return { layer: { ...layer, descriptor: asBefore(layer, descriptors.get(layer.descriptor.digest)) }, from };
  };
}

/** What the image says of a layer that it had; of a new one nothing but what an update has to know of its own. */
function asBefore({ descriptor }: HeldLayer, before: Descriptor | undefined): Descriptor {
  if (before) return { ...before, mediaType: descriptor.mediaType };
  const role = roleOf(descriptor);
  if (role === 'merge' || role === 'update') return descriptor;
  const facts = Object.entries(descriptor.annotations ?? {}).filter(([name]) => !name.startsWith('dev.stk.'));
  const { annotations: _annotations, ...rest } = descriptor;
  return facts.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(facts) };
}

function formOf(
  image: StoredImage,
  parts: UpdateParts,
  context: TarResultsContext & { readonly type: LayerType },
): ResultForm | undefined {
  const before = originalLayers(image);
  const { type } = context;
  if (type === 'squashfs' && image.originals === undefined) return undefined;
  const held = new Set(before.map(({ digest }) => digest));
  const others = [parts.base, ...parts.applied.map(each => each.image)].flatMap(each => [...(each?.originals ?? [])]);
  const brought = new Map<Digest, OriginalLayer>(type === 'tar' ? others : []);
  return async formed => {
    const { digest } = formed.layer.descriptor;
    const original = image.originals?.get(digest) ?? (held.has(digest) ? undefined : brought.get(digest));
    if (original) return asOriginal(formed.layer, original);
    if (type === 'squashfs' || held.has(digest)) return formed;
    return toTar(image.name, formed, context);
  };
}

function asOriginal(layer: HeldLayer, { store, descriptor, diffId }: OriginalLayer): FormedLayer {
  const shown = { ...descriptor, mediaType: ociType(descriptor.mediaType) };
  return { layer: { ...layer, descriptor: inRoleOf(layer, shown), diffId }, from: { blob: { store, descriptor } } };
}

/** The names that OCI has for what Docker's types are: the bytes are the same. */
function ociType(mediaType: string): string {
  const format = layerFormat(mediaType);
  if (format.kind !== 'tar' || mediaType.startsWith('application/vnd.oci.')) return mediaType;
  if (format.compression === 'none') return MediaType.layerTar;
  return format.compression === 'gzip' ? MediaType.layerTarGzip : MediaType.layerTarZstd;
}

/** What is said of the layer's part in the image, and of the bytes. */
function inRoleOf({ descriptor: { annotations } }: HeldLayer, bytes: Descriptor): Descriptor {
  const roles = Object.entries(annotations ?? {}).filter(([name]) => name.startsWith('dev.stk.'));
  const facts = Object.entries(bytes.annotations ?? {}).filter(([name]) => !name.startsWith('dev.stk.'));
  const { annotations: _annotations, ...rest } = bytes;
  const all = [...facts, ...roles];
  return all.length === 0 ? rest : { ...rest, annotations: Object.fromEntries(all) };
}

async function toTar(
  name: string,
  { layer, from }: FormedLayer,
  { scratch, converter, emit = silent, signal }: TarResultsContext,
): Promise<FormedLayer> {
  if ('file' in from) {
    const file = joinInside(scratch, `${digestHex(layer.descriptor.digest)}.tar`);
    const tar = await convertSquashfsLayer({ input: from.file, output: file, compression: 'gzip', signal });
    const bytes = { mediaType: MediaType.layerTarGzip, digest: tar.digest, size: tar.sizeBytes };
    return { layer: { ...layer, descriptor: inRoleOf(layer, bytes), diffId: tar.diffId }, from: { file } };
  }
  const { layout, records, converter: open } = await converter();
  const { store, descriptor } = from.blob;
  const [squashfs] = await open.bring(store, { name, layers: [descriptor], diffIds: [layer.diffId] }, signal);
  const tar = await tarLayer(name, squashfs!, { layout, records, emit }, signal);
  const blob = { store: layout, descriptor: tar.descriptor };
  return { layer: { ...layer, descriptor: inRoleOf(layer, tar.descriptor), diffId: tar.diffId }, from: { blob } };
}
