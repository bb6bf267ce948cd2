import path from 'node:path';
import { contentKey } from '../plan/content-key.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor, ImageConfig, Manifest, Platform } from '../oci/descriptor.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { layerFormat } from '../oci/media-types.ts';
import { resolveImage } from '../oci/resolve-image.ts';
import type { Base, FileSource } from '../recipe/model.ts';
import { resolveRemembered } from './resolve-remembered.ts';
import type { FileDigests } from './file-digests.ts';
import type { RecordCache } from './record-cache.ts';
import type { BuiltImage, NamedBase, OpenImageStore, StackLayer } from './ports.ts';
import type { LayerConverter } from './convert-layers.ts';

export const BASE_NAME = 'org.opencontainers.image.base.name';
export const BASE_DIGEST = 'org.opencontainers.image.base.digest';

/** A base whose identity is known, though nothing of it may be here yet. */
export interface KnownBase {
  /** Decides everything that is built on it. */
  readonly key: Digest;
  /** For `org.opencontainers.image.base.name` and `.digest`, where the base is an image. */
  readonly name: string | undefined;
  readonly digest: Digest | undefined;
  /** Where it comes from, as the recipe has it; `undefined` for `scratch`. */
  readonly uri: string | undefined;
  /** Of the file, where the base is one. */
  readonly contentDigest?: Digest;
  /** What the base's own manifest says that it was built on. */
  readonly builtOn: NamedBase | undefined;
  /** Configuration to inherit from. */
  readonly config: ImageConfig | undefined;
  /** Brings the layers, bottom up, into the layout as squashfs: downloads and converts what is not there. */
  layers(signal?: AbortSignal): Promise<readonly StackLayer[]>;
}

export interface BasePorts {
  readonly openStore: OpenImageStore;
  readonly built: (image: string) => BuiltImage;
  /** Made when the first layer has to be brought. */
  readonly converter: () => Promise<LayerConverter>;
  readonly records: RecordCache;
  readonly files: FileDigests;
  readonly fetchHttp: (url: string, expected: Digest | undefined, signal?: AbortSignal) => Promise<AbsPath>;
  readonly extract: (image: string, path: string, signal?: AbortSignal) => Promise<AbsPath>;
}

export interface BaseWish {
  readonly platform: Platform;
  /** Canonical packing options: a converted base depends on them. */
  readonly packing: JsonValue;
}

/** Finds out what a base is with as few bytes as possible. */
export async function identifyBase(
  base: Base,
  { platform, packing }: BaseWish,
  ports: BasePorts,
  signal?: AbortSignal,
): Promise<KnownBase> {
  switch (base.type) {
    case 'scratch':
      return {
        key: contentKey('scratch', undefined, null),
        name: undefined,
        digest: undefined,
        uri: undefined,
        builtOn: undefined,
        config: undefined,
        layers: async () => [],
      };
    case 'built':
      return builtBase(ports.built(base.image));
    case 'tar':
      return tarBase(base, packing, ports, signal);
    case 'docker':
    case 'oci': {
      const { store, reference, vouch } = await ports.openStore(base);
      const image = await resolveRemembered({ store, reference, platform }, ports.records, signal);
      const layers = assertLayers(store, reference, image.manifest);
      const name = base.url.replace(/^docker:\/\//, '');
      return {
        key: contentKey('image', undefined, { manifest: image.descriptor.digest, packing }),
        name,
        digest: image.descriptor.digest,
        uri: base.type === 'oci' ? `oci:${base.url}` : base.url,
        builtOn: namedBase(image.manifest.annotations),
        config: image.config,
        layers: async inner => {
          const converter = await ports.converter();
          // What is vouched for is asked for anew: others than whoever builds may write to the memory of manifests.
          if (vouch)
            vouch((await resolveImage(store, reference, platform, inner ? { signal: inner } : {})).manifest.layers);
          return converter.bring(store, { name, layers, diffIds: image.config.rootfs.diff_ids }, inner ?? signal);
        },
      };
    }
  }
}

/** The pre-defined annotations of image-spec, annotations.md. */
export function namedBase(annotations: Readonly<Record<string, string>> | undefined): NamedBase | undefined {
  const name = annotations?.[BASE_NAME];
  const digest = annotations?.[BASE_DIGEST];
  if (name === undefined && digest === undefined) return undefined;
  return { name, digest: isDigest(digest) ? digest : undefined };
}

/** As `namedBase` reads them. */
export function baseAnnotations(base: NamedBase): Record<string, string> {
  if (base.digest === undefined || base.name === undefined) return {};
  return { [BASE_NAME]: base.name, [BASE_DIGEST]: base.digest };
}

function builtBase(image: BuiltImage): KnownBase {
  return {
    // By its layers, not its manifest: a new label on the base does not run the steps above it again.
    key: contentKey('built', undefined, { layers: image.layers.map(layer => layer.squashfs.digest) }),
    name: image.name,
    digest: image.manifest.digest,
    uri: `stacker://${image.name}`,
    builtOn: image.base,
    config: image.config,
    layers: async () => image.layers,
  };
}

async function tarBase(
  base: Extract<Base, { type: 'tar' }>,
  packing: JsonValue,
  ports: BasePorts,
  signal: AbortSignal | undefined,
): Promise<KnownBase> {
  const { source } = base;
  const file =
    source.type === 'path'
      ? source.path
      : source.type === 'http'
        ? await ports.fetchHttp(source.url, undefined, signal)
        : await ports.extract(source.image, source.path, signal);
  const digest = await ports.files.digest(file, signal);
  return {
    key: contentKey('tar', undefined, { digest, packing }),
    name: undefined,
    digest: undefined,
    uri: sourceUri(source),
    contentDigest: digest,
    builtOn: undefined,
    config: undefined,
    layers: async inner => [await (await ports.converter()).bringFile(file, digest, inner ?? signal)],
  };
}

/** Files of the host by their names alone: their directories are the host's own matter. */
function sourceUri(source: FileSource): string {
  if (source.type === 'http') return source.url;
  return source.type === 'image' ? `stacker://${source.image}${source.path}` : `file:${path.basename(source.path)}`;
}

function assertLayers(store: BlobStore, reference: string, manifest: Manifest): readonly Descriptor[] {
  for (const layer of manifest.layers) {
    if (layerFormat(layer.mediaType).kind !== 'unknown') continue;
    throw new StkError('unsupported', `${store.name}: ${reference} is no image that can be mounted`, {
      hint: `it has a layer of type ${layer.mediaType}; stk knows tar and squashfs layers`,
      facts: { mediaType: layer.mediaType, digest: layer.digest },
    });
  }
  return manifest.layers;
}
