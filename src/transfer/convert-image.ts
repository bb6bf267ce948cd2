import type { Digest } from '../core/digest.ts';
import type { Emit } from '../core/events.ts';
import { say } from '../core/events.ts';
import { StkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import { jsonDocument, type ComposedLayer } from '../oci/compose.ts';
import type { Descriptor, ImageConfig, Index, Manifest, Platform } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { MediaType, layerFormat } from '../oci/media-types.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { formatPlatform } from '../oci/platform.ts';
import { readSmallBlob } from '../oci/read-small-blob.ts';
import { isImage, resolveImage } from '../oci/resolve-image.ts';
import type { ImageLayers, LayerConverter } from '../sources/convert-layers.ts';
import { LAYER_ROLE, VERITY_ROOT, followLayers } from '../oci/layer-annotations.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import { tarLayer } from '../sources/tar-layers.ts';
import { readImageGraph } from '../oci/image-graph.ts';
import { putDocument } from '../oci/put-document.ts';

export interface ConvertPorts {
  /** Where the result goes, and where layers that were converted before are found. */
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  /** Over the same layout and records. */
  readonly converter: LayerConverter;
  readonly emit: Emit;
  /** Called with each layer of the result once it is in the layout, while others are still made; must not throw. */
  readonly onLayer?: (layer: Descriptor) => void;
}

export interface ConvertRequest {
  /** For progress and messages. */
  readonly name: string;
  readonly to: 'squashfs' | 'tar';
  /** One image of an index, or all of them. */
  readonly platform: Platform | 'all';
  /** The platform was asked for by name. */
  readonly exact?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Images of an index that are converted side by side; each has several layers under way. */
const PARALLEL_IMAGES = 2;
/** What describes the bytes of one blob, and is wrong for any other. */
const BLOB_ANNOTATIONS = /^(containerd\.io\/snapshot\/|io\.github\.containers\.zstd-chunked\.|io\.containers\.estargz)/;
const VERITY_ROOTS = new Set([VERITY_ROOT, 'io.stackeroci.stacker.squashfs_verity_root_hash']);

/**
 * Writes an image with the same configuration and content, its layers of another type, into the layout, and returns its
 * manifest, which no tag points to yet. Layers of the wanted type are taken as they are; an image that has nothing else is
 * copied verbatim. The same image and options give the same bytes.
 */
export async function convertImage(
  store: BlobStore,
  reference: string,
  request: ConvertRequest,
  ports: ConvertPorts,
): Promise<ManifestBytes> {
  const { platform, exact = false, signal } = request;
  const call = signal ? { signal } : {};
  if (platform !== 'all') {
    const image = await resolveImage(store, reference, platform, { ...call, exact });
    return convertOne({ store, ...image }, request, ports);
  }
  const graph = await readImageGraph(store, reference, call);
  if (graph.root.parsed.kind === 'manifest') {
    const { descriptor, parsed } = graph.root;
    return convertOne({ store, descriptor, manifest: parsed.manifest }, request, ports);
  }
  const images = graph.documents.flatMap(({ descriptor, parsed }) =>
    parsed.kind === 'manifest' && isImage(parsed.manifest) ? [{ descriptor, manifest: parsed.manifest }] : [],
  );
  const entries = graph.root.parsed.manifest.manifests;
  const wanted = images.flatMap(image => {
    const entry = entries.find(({ digest }) => digest === image.descriptor.digest);
    return entry ? [{ ...image, entry }] : [];
  });
  const dropped = entries.length - wanted.length;
  if (dropped > 0) {
    // Attestations and nested indexes speak of digests that the result does not have.
    say(ports.emit, 'warning', `${dropped} entries of the index that are no images were left out`, request.name);
  }
  if (wanted.length === 0) throw new StkError('unsupported', `${request.name}: the index names no images`);
  const converted = await mapLimited(
    wanted,
    PARALLEL_IMAGES,
    async ({ descriptor, manifest, entry }, inner) => {
      const name = entry.platform ? `${request.name} ${formatPlatform(entry.platform)}` : request.name;
      const result = await convertOne({ store, descriptor, manifest }, { ...request, name, signal: inner }, ports);
      const { data: _data, urls: _urls, ...rest } = entry;
      return { ...rest, ...result.descriptor };
    },
    signal,
  );
  const { subject: _subject, ...rest } = graph.root.parsed.manifest;
  const index: Index = { ...rest, mediaType: MediaType.index, manifests: converted };
  return put(ports.layout, jsonDocument(index, MediaType.index), request.signal);
}

/** One image of a store, its manifest read. */
interface SourceImage {
  readonly store: BlobStore;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
}

async function convertOne(
  { store, descriptor, manifest }: SourceImage,
  request: ConvertRequest,
  ports: ConvertPorts,
): Promise<ManifestBytes> {
  const { name, signal } = request;
  const call = signal ? { signal } : {};
  if (!isImage(manifest)) {
    throw new StkError('unsupported', `${name} is no image: its configuration is ${manifest.config.mediaType}`);
  }
  const configBytes = await readSmallBlob(store, manifest.config, call);
  const sourceConfig = parseImageConfig(configBytes, `${name}: config`);
  const { diff_ids: diffIds } = sourceConfig.rootfs;
  if (diffIds.length !== manifest.layers.length) {
    throw new StkError('invalid-input', `${name} has ${manifest.layers.length} layers but ${diffIds.length} diff IDs`);
  }
  const layers = await convertLayers({ store, layers: manifest.layers, diffIds }, request, ports);
  const { layout } = ports;
  if (layers.every(({ descriptor: { digest } }, index) => digest === manifest.layers[index]!.digest)) {
    const bytes = Buffer.from((await store.readManifest(descriptor.digest, call)).bytes);
    await putDocument(layout, { descriptor: manifest.config, bytes: configBytes }, call);
    const { mediaType, digest, size } = descriptor;
    return put(layout, { descriptor: { mediaType, digest, size }, bytes }, signal);
  }
  const config = jsonDocument(withDiffIds(sourceConfig, layers), MediaType.config);
  await putDocument(layout, config, call);
  const { subject: _subject, annotations, ...rest } = manifest;
  const digests = new Map(layers.map((layer, index) => [manifest.layers[index]!.digest, layer.descriptor.digest]));
  const result: Manifest = {
    ...rest,
    ...(annotations === undefined ? {} : { annotations: followLayers(annotations, digests) }),
    mediaType: MediaType.manifest,
    config: config.descriptor,
    layers: layers.map((layer, index) => withAnnotations(layer.descriptor, manifest.layers[index]!)),
  };
  return put(layout, jsonDocument(result, MediaType.manifest), signal);
}

async function convertLayers(
  { store, layers, diffIds }: Pick<ImageLayers, 'layers' | 'diffIds'> & { readonly store: BlobStore },
  request: ConvertRequest,
  { converter, layout, records, emit, onLayer }: ConvertPorts,
): Promise<readonly ComposedLayer[]> {
  const { name, to, signal } = request;
  if (to === 'squashfs') {
    const tell = onLayer && { onLayer: (layer: StackLayer) => onLayer(layer.squashfs) };
    const brought = await converter.bring(store, { name, layers, diffIds, ...tell }, signal);
    return brought.map(({ squashfs }) => ({ descriptor: squashfs, diffId: squashfs.digest }));
  }
  const asTar = async (layer: Descriptor, diffId: Digest, inner: AbortSignal): Promise<ComposedLayer> => {
    if (layerFormat(layer.mediaType).kind === 'tar') {
      await layout.putBlob(layer, () => store.readBlob(layer, { signal: inner }), { signal: inner, verified: true });
      return { descriptor: layer, diffId };
    }
    const [source] = await converter.bring(store, { name, layers: [layer], diffIds: [diffId] }, inner);
    return tarLayer(name, source as StackLayer, { layout, records, emit }, inner);
  };
  return mapLimited(
    layers,
    2,
    async (layer, inner, index) => {
      const made = await asTar(layer, diffIds[index]!, inner);
      onLayer?.(made.descriptor);
      return made;
    },
    signal,
  );
}

/** Everything that the configuration says besides stays as it is, members that stk does not know included. */
function withDiffIds(config: ImageConfig, layers: readonly ComposedLayer[]): ImageConfig {
  return { ...config, rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) } };
}

/** What the source says of a layer, except of its bytes; and what the conversion says. */
function withAnnotations(converted: Descriptor, source: Descriptor): Descriptor {
  if (converted.digest === source.digest) return source;
  const kept = Object.entries(source.annotations ?? {}).filter(
    ([key]) => !BLOB_ANNOTATIONS.test(key) && !VERITY_ROOTS.has(key),
  );
  const { annotations: made = {}, mediaType, digest, size } = converted;
  const { [LAYER_ROLE]: _role, ...facts } = made;
  const annotations = { ...Object.fromEntries(kept), ...facts };
  return { mediaType, digest, size, ...(Object.keys(annotations).length === 0 ? {} : { annotations }) };
}

async function put(
  layout: LayoutStore,
  document: ManifestBytes,
  signal: AbortSignal | undefined,
): Promise<ManifestBytes> {
  await layout.putManifest(document, undefined, { ...(signal ? { signal } : {}), named: true });
  return document;
}
