/** Media types of image-spec 1.1, of Docker's v2 schema 2, and of the squashfs layers of project-stacker. */
export const MediaType = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  empty: 'application/vnd.oci.empty.v1+json',
  layerTar: 'application/vnd.oci.image.layer.v1.tar',
  layerTarGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerTarZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  layerSquashfs: 'application/vnd.stacker.image.layer.squashfs',
  layerSquashfsZstd: 'application/vnd.stacker.image.layer.squashfs+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerPlain: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
} as const;

export type TarCompression = 'none' | 'gzip' | 'zstd';

/** What a layer blob is, told from its media type alone. */
export type LayerFormat =
  | { readonly kind: 'squashfs' }
  | { readonly kind: 'tar'; readonly compression: TarCompression }
  | { readonly kind: 'unknown' };

const TAR_LAYERS: ReadonlyMap<string, TarCompression> = new Map([
  [MediaType.layerTar, 'none'],
  [MediaType.layerTarGzip, 'gzip'],
  [MediaType.layerTarZstd, 'zstd'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'none'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
  [MediaType.dockerLayer, 'gzip'],
  [MediaType.dockerLayerPlain, 'none'],
  [MediaType.dockerLayerZstd, 'zstd'],
]);

export function layerFormat(mediaType: string): LayerFormat {
  if (mediaType === MediaType.layerSquashfs || mediaType.startsWith(`${MediaType.layerSquashfs}+`)) {
    return { kind: 'squashfs' };
  }
  const compression = TAR_LAYERS.get(mediaType);
  return compression === undefined ? { kind: 'unknown' } : { kind: 'tar', compression };
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === MediaType.index || mediaType === MediaType.dockerIndex;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === MediaType.manifest || mediaType === MediaType.dockerManifest;
}
