import { digestOf, type Digest } from '../core/digest.ts';
import { jsonLike } from '../core/json-like.ts';
import { SOURCE_TEXT } from './descriptor.ts';
import type { Descriptor, HistoryEntry, ImageConfig, Manifest, Platform, RuntimeConfig } from './descriptor.ts';
import { MediaType } from './media-types.ts';

/** One layer of an image to be written. */
export interface ComposedLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
}

/** A layer that this image adds, with what history says of it; without a layer, the step changed no file. */
export interface AddedLayer {
  readonly layer: ComposedLayer | undefined;
  /** RFC 3339. */
  readonly created: string;
  readonly createdBy: string;
  /** Default `stk`. */
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
}

export interface ImageParts {
  readonly platform: Platform;
  /** Configuration of the base: members that stk does not know are passed on. */
  readonly base: ImageConfig | undefined;
  readonly baseLayers: readonly ComposedLayer[];
  readonly added: readonly AddedLayer[];
  readonly config: RuntimeConfig;
  readonly annotations: Readonly<Record<string, string>>;
  readonly created: string;
  /** Default `stk`. */
  readonly author?: string | undefined;
}

export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** Builds configuration and manifest; the same parts give the same bytes. */
export function composeImage(parts: ImageParts): { readonly config: Document; readonly manifest: Document } {
  const added = parts.added.flatMap(step => step.layer ?? []);
  const layers = [...parts.baseLayers, ...added];
  const config: ImageConfig = {
    ...parts.base,
    created: parts.created,
    author: parts.author ?? 'stk',
    architecture: parts.platform.architecture,
    os: parts.platform.os,
    ...(parts.platform.variant === undefined ? {} : { variant: parts.platform.variant }),
    config: parts.config,
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
    history: [...baseHistory(parts), ...parts.added.map(historyEntry)],
  };
  const configDocument = jsonDocument(config, MediaType.config);
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MediaType.manifest,
    config: configDocument.descriptor,
    layers: layers.map(layer => ordered(layer.descriptor)),
    ...(Object.keys(parts.annotations).length === 0 ? {} : { annotations: parts.annotations }),
  };
  return { config: configDocument, manifest: jsonDocument(manifest, MediaType.manifest) };
}

/** Members in one order: a descriptor that was remembered must give the same bytes as one that is fresh. */
function ordered({ mediaType, digest, size, annotations, ...rest }: Descriptor): Descriptor {
  const sorted = Object.entries(annotations ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    mediaType,
    digest,
    size,
    ...rest,
    ...(annotations === undefined ? {} : { annotations: Object.fromEntries(sorted) }),
  };
}

/** A JSON value as a blob with its descriptor. Written like the document that it was read from, where it was. */
export function jsonDocument(value: object, mediaType: string): Document {
  const { [SOURCE_TEXT]: source } = value as { readonly [SOURCE_TEXT]?: string };
  const bytes = Buffer.from(source === undefined ? JSON.stringify(value) : jsonLike(value, source));
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength }, bytes };
}

function historyEntry(step: AddedLayer): HistoryEntry {
  const { created, createdBy, author = 'stk', comment } = step;
  const entry = { created, created_by: createdBy, author, ...(comment === undefined ? {} : { comment }) };
  return step.layer ? entry : { ...entry, empty_layer: true };
}

/**
 * The base's history where it fits its layers one to one, empty entries aside (image-spec, config.md, "history");
 * otherwise one plain entry for each layer, since readers pair the two by position.
 */
function baseHistory(parts: ImageParts): readonly HistoryEntry[] {
  const history = parts.base?.history ?? [];
  const count = parts.baseLayers.length;
  if (history.filter(entry => entry.empty_layer !== true).length === count) return history;
  return parts.baseLayers.map(() => ({ created: parts.created, created_by: 'base layer' }));
}
