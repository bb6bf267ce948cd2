import { Digester, digestOf, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { ManifestBytes } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { sniffCompression } from '../layer/sniff-compression.ts';
import type { ArchiveContent, ArchivedImage, ArchiveFiles } from './archive-content.ts';
import type { MemberExtent } from './archive-members.ts';

/** An entry of manifest.json, as `docker save` writes it (Docker, "Docker Image Specification v1.2"). */
interface SavedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

const MAX_IMAGES = 1000;
const MAX_LAYERS = 10_000;
const LAYER_TYPES = { none: MediaType.layerTar, gzip: MediaType.layerTarGzip, zstd: MediaType.layerTarZstd } as const;

/** The format has no manifests: they are made here, the same ones from the same archive. */
export async function describeDockerImages(files: ArchiveFiles, signal?: AbortSignal): Promise<ArchiveContent> {
  const blobs = new Map<Digest, MemberExtent>();
  const manifests = new Map<Digest, ManifestBytes>();
  const images: ArchivedImage[] = [];
  const known = new Map<MemberExtent, Descriptor>();
  for (const saved of parseSaved(await files.readSmall('manifest.json'), files.name)) {
    const configBytes = await files.readSmall(saved.config);
    const { diff_ids: diffIds } = parseImageConfig(configBytes, `${files.name}: ${saved.config}`).rootfs;
    if (diffIds.length !== saved.layers.length) {
      throw bad(files, `${saved.layers.length} layers but ${diffIds.length} diff IDs`);
    }
    const config = { mediaType: MediaType.config, digest: digestOf(configBytes), size: configBytes.byteLength };
    blobs.set(config.digest, files.members.get(saved.config)!);
    const layers: Descriptor[] = [];
    for (const [index, name] of saved.layers.entries()) {
      const extent = files.members.get(name);
      if (!extent) throw bad(files, `no layer ${name}`);
      const layer = known.get(extent) ?? (await describeLayer(files, extent, diffIds[index]!, signal));
      known.set(extent, layer);
      blobs.set(layer.digest, extent);
      layers.push(layer);
    }
    const manifest = jsonDocument(
      { schemaVersion: 2, mediaType: MediaType.manifest, config, layers },
      MediaType.manifest,
    );
    manifests.set(manifest.descriptor.digest, manifest);
    images.push({ descriptor: manifest.descriptor, names: saved.names });
  }
  return { images, blobs, manifests };
}

/** A plain tar is its own diff ID, which reading it verifies; one that is compressed has to be hashed. */
async function describeLayer(
  files: ArchiveFiles,
  extent: MemberExtent,
  diffId: Digest,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const compression = await sniffCompression(() => files.stream(extent, signal));
  const mediaType = LAYER_TYPES[compression];
  if (compression === 'none') return { mediaType, digest: diffId, size: extent.sizeBytes };
  const digester = new Digester();
  for await (const piece of files.stream(extent, signal)) digester.update(piece);
  return { mediaType, digest: digester.finish(), size: extent.sizeBytes };
}

function parseSaved(bytes: Buffer, name: string): readonly SavedImage[] {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new StkError('invalid-input', `${name}: manifest.json is not JSON`, { cause });
  }
  if (!Array.isArray(value) || value.length > MAX_IMAGES) {
    throw new StkError('invalid-input', `${name}: manifest.json is no list of images`);
  }
  return value.map((entry: unknown) => {
    const { Config: config, RepoTags, Layers } = (entry ?? {}) as Record<string, unknown>;
    // Programs written in Go write an empty list as null, or leave it out.
    const [names, layers] = [RepoTags ?? [], Layers ?? []];
    if (typeof config !== 'string' || !isTexts(layers) || layers.length > MAX_LAYERS || !isTexts(names)) {
      throw new StkError('invalid-input', `${name}: manifest.json has an entry that is no image`);
    }
    return { config: imagePath(config), layers: layers.map(imagePath), names };
  });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(entry => typeof entry === 'string');
}

function bad(files: ArchiveFiles, problem: string): StkError {
  return new StkError('invalid-input', `${files.name} has ${problem}`);
}
