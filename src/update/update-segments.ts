import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { Descriptor, HistoryEntry, ImageConfig, Manifest } from '../oci/descriptor.ts';
import { LAYER_ROLE, type LayerRole } from '../oci/layer-annotations.ts';
import { layerFormat } from '../oci/media-types.ts';

/** A layer with what the image says of it. */
export interface HeldLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly history: HistoryEntry;
  /** Entries of history without a layer that stand right before it. */
  readonly before: readonly HistoryEntry[];
}

/** The layers of an image by what an update does with them, each list bottom up. */
export interface ImageSegments {
  readonly base: readonly HeldLayer[];
  readonly applied: readonly HeldLayer[];
  readonly merge: HeldLayer | undefined;
  /** What the image's own steps made: they stay bit for bit. */
  readonly kept: readonly HeldLayer[];
  readonly update: HeldLayer | undefined;
  /** Entries of history without a layer above the last layer. */
  readonly after: readonly HistoryEntry[];
}

/**
 * Takes an image apart by the roles of its layers. Throws `unsupported` where a layer is no squashfs, where roles are
 * missing, or stand in an order that stk does not make.
 * @param name for messages
 */
export function splitImage(manifest: Manifest, config: ImageConfig, name: string): ImageSegments {
  const { layers, after } = heldLayers(manifest, config, name);
  const roles = layers.map(layer => roleOf(layer.descriptor));
  if (layers.length > 0 && roles.every(role => role === undefined)) {
    throw new StkError('unsupported', `${name} does not say what its layers are`, {
      hint: 'only images that stk has built can be updated: build it with stk',
    });
  }
  let at = 0;
  const take = (isWanted: (role: LayerRole | undefined) => boolean): readonly HeldLayer[] => {
    const start = at;
    while (at < layers.length && isWanted(roles[at])) at++;
    return layers.slice(start, at);
  };
  const base = take(role => role === 'base');
  const applied = take(role => role === 'apply');
  const merge = take(role => role === 'merge');
  const kept = take(role => role !== 'update' && role !== 'base' && role !== 'apply' && role !== 'merge');
  const update = take(role => role === 'update');
  if (at < layers.length || merge.length > 1 || update.length > 1) {
    throw new StkError('unsupported', `${name} has layers in an order that stk does not make`, {
      hint: `bottom up they are: ${roles.map(role => role ?? 'unknown').join(', ')}`,
    });
  }
  return { base, applied, merge: merge[0], kept, update: update[0], after };
}

/** The layers of an image with their history, which is made up where it does not fit. */
export function heldLayers(
  manifest: Manifest,
  config: ImageConfig,
  name: string,
): { readonly layers: readonly HeldLayer[]; readonly after: readonly HistoryEntry[] } {
  const tar = manifest.layers.find(layer => layerFormat(layer.mediaType).kind !== 'squashfs');
  if (tar) {
    throw new StkError('unsupported', `${name} has layers that are not squashfs: ${tar.mediaType}`, {
      hint: 'name the image with squashfs layers, or make it one with stk convert',
      facts: { digest: tar.digest, mediaType: tar.mediaType },
    });
  }
  const history = config.history ?? [];
  const fits = history.filter(entry => entry.empty_layer !== true).length === manifest.layers.length;
  const entries: readonly HistoryEntry[] = fits ? history : manifest.layers.map(() => ({ created_by: 'layer' }));
  const layers: HeldLayer[] = [];
  let before: HistoryEntry[] = [];
  for (const entry of entries) {
    if (entry.empty_layer === true) {
      before.push(entry);
      continue;
    }
    const descriptor = manifest.layers[layers.length]!;
    const diffId = config.rootfs.diff_ids[layers.length]!;
    layers.push({ descriptor, diffId, history: entry, before });
    before = [];
  }
  return { layers, after: before };
}

const ROLES: ReadonlySet<string> = new Set<LayerRole>([
  'base',
  'apply',
  'merge',
  'import',
  'overlay',
  'run',
  'update',
  'commit',
]);

/** What a layer's descriptor says that it is. */
export function roleOf({ annotations }: Descriptor): LayerRole | undefined {
  const role = annotations?.[LAYER_ROLE];
  return role !== undefined && ROLES.has(role) ? (role as LayerRole) : undefined;
}
