import { jsonDocument, type Document } from '../oci/compose.ts';
import type { HistoryEntry, ImageConfig, Manifest, RuntimeConfig } from '../oci/descriptor.ts';
import {
  APPLY_LIST,
  UPDATE_FROM,
  baseConfigAnnotation,
  formatAppliedEntries,
  type AppliedEntry,
} from '../oci/layer-annotations.ts';
import { MediaType } from '../oci/media-types.ts';
import { baseAnnotations } from '../sources/bases.ts';
import type { StoredImage, UpdateParts } from './update-plan.ts';
import type { HeldLayer, ImageSegments } from './update-segments.ts';

/** The layers of the next version; what is kept comes from the segments. */
export interface ComposedSegments {
  readonly segments: ImageSegments;
  readonly base: readonly HeldLayer[];
  readonly applied: readonly HeldLayer[];
  readonly merge: HeldLayer | undefined;
  readonly update: HeldLayer | undefined;
  readonly entries: readonly AppliedEntry[];
  /** The image's next settings, where they are others. */
  readonly settings: RuntimeConfig | undefined;
}

/**
 * Configuration and manifest of an updated image: platform and foreign annotations stay, history fits the layers one to
 * one (image-spec, config.md, "history").
 */
export function composeUpdate(
  image: StoredImage,
  parts: UpdateParts,
  composed: ComposedSegments,
  created: string,
): { readonly config: Document; readonly manifest: Document } {
  const { segments, base, applied, merge, update, entries } = composed;
  const layers = [...base, ...applied, ...(merge ? [merge] : []), ...segments.kept, ...(update ? [update] : [])];
  const historyOf = (held: readonly HeldLayer[]) => held.flatMap(layer => [...layer.before, layer.history]);
  const history: readonly HistoryEntry[] = [
    ...historyOf([...base, ...applied]),
    ...(segments.merge?.before ?? []),
    ...(merge ? [merge.history] : []),
    ...historyOf(segments.kept),
    ...(segments.update?.before ?? []),
    ...(update ? [update.history] : []),
    ...segments.after,
  ];
  const config: ImageConfig = {
    ...image.config,
    ...(composed.settings === undefined ? {} : { config: composed.settings }),
    created,
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
    history,
  };
  const configDocument = jsonDocument(config, MediaType.config);
  const { annotations } = image.manifest;
  const manifest: Manifest = {
    ...image.manifest,
    // Annotations are OCI's: a manifest of Docker becomes one of OCI.
    ...(image.manifest.mediaType === undefined ? {} : { mediaType: MediaType.manifest }),
    config: configDocument.descriptor,
    layers: layers.map(layer => layer.descriptor),
    annotations: sorted({
      ...annotations,
      ...(parts.base ? annotationsOf(parts.base) : {}),
      ...(entries.length === 0 || parts.unrecorded ? {} : { [APPLY_LIST]: formatAppliedEntries(entries) }),
      [UPDATE_FROM]: image.descriptor.digest,
    }),
  };
  return { config: configDocument, manifest: jsonDocument(manifest, MediaType.manifest) };
}

function annotationsOf({ name, descriptor, config }: StoredImage): Record<string, string> {
  return { ...baseAnnotations({ name, digest: descriptor.digest }), ...baseConfigAnnotation(config.config) };
}

function sorted(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
