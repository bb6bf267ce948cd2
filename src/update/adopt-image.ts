import { StkError } from '../core/errors.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor, Manifest } from '../oci/descriptor.ts';
import {
  APPLY_DIGEST,
  APPLY_LIST,
  APPLY_NAME,
  APPLY_REF,
  BASE_CONFIG,
  baseConfigAnnotation,
  formatAppliedEntries,
  type AppliedEntry,
  type LayerRole,
} from '../oci/layer-annotations.ts';
import { MediaType } from '../oci/media-types.ts';
import { BASE_DIGEST, BASE_NAME, baseAnnotations } from '../sources/bases.ts';
import { withRole } from '../sources/layer-descriptor.ts';
import type { ForeignSwap, PartsFinder } from './find-parts.ts';
import { assertSamePlatform, assertStandsOn, commonLayers, findRun, layerList } from './found-layers.ts';
import type { UpdatedImage } from './update-image.ts';
import type { StoredImage } from './update-plan.ts';
import { baseName } from './part-places.ts';
import { roleOf } from './update-segments.ts';

/** What an image is found to be made of. */
interface FoundParts {
  /** How many layers are the base's. */
  readonly height: number;
  readonly entries: readonly AppliedEntry[];
  /** By the index of the layer: the entry that brought it. */
  readonly brought: ReadonlyMap<number, AppliedEntry>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * The same image, which says that its layers are those of a base and of applied images: nothing but annotations of its
 * manifest changes. `undefined` where it says so already. Throws `conflict` where the layers are others, or others lie
 * between; `usage` where nothing tells which layers are the base's.
 */
export async function adoptImage(
  finder: PartsFinder,
  image: StoredImage,
  swap: Extract<ForeignSwap, { kind: 'adopt' }>,
): Promise<UpdatedImage | undefined> {
  const { height, entries, brought, annotations } = await findParts(finder, image, swap);
  const layers = image.manifest.layers.map((layer, index): Descriptor => {
    const entry = brought.get(index);
    if (index < height) return withRole(layer, 'base');
    return entry ? asApplied(layer, entry) : inOwnRole(layer);
  });
  const manifest: Manifest = {
    ...image.manifest,
    // Annotations are OCI's.
    ...(image.manifest.mediaType === undefined ? {} : { mediaType: MediaType.manifest }),
    layers,
    annotations: {
      ...image.manifest.annotations,
      ...annotations,
      ...(entries.length === 0 ? {} : { [APPLY_LIST]: formatAppliedEntries(entries) }),
    },
  };
  const document = jsonDocument(manifest, MediaType.manifest);
  if (document.descriptor.digest === image.descriptor.digest) return undefined;
  return {
    // It is there already, and stays.
    config: { descriptor: image.manifest.config, bytes: new Uint8Array() },
    manifest: document,
    layers,
    fresh: [],
    removed: [],
    settled: [],
    renumbered: [],
    remarks: [],
  };
}

async function findParts(
  finder: PartsFinder,
  image: StoredImage,
  { base: baseRef, applied }: Extract<ForeignSwap, { kind: 'adopt' }>,
): Promise<FoundParts> {
  const own = layerList(image);
  const base = baseRef === undefined ? undefined : await finder.lookedAt(image, baseRef);
  if (base) assertStandsOn(image, base);
  const parts = [];
  for (const { name, ref } of applied) parts.push({ name, ref, image: await finder.lookedAt(image, ref) });
  const height = base?.manifest.layers.length ?? baseHeight(parts[0]!.image);
  const below = { ...own, diffIds: own.diffIds.slice(0, height) };
  const brought = new Map<number, AppliedEntry>();
  const held = new Set(below.diffIds);
  const entries: AppliedEntry[] = [];
  let at = height;
  for (const { name, ref, image: part } of parts) {
    assertSamePlatform(image, part);
    const list = layerList(part);
    const shared = commonLayers(below, list);
    const above = list.diffIds.slice(shared);
    const fresh = above.filter(diffId => !held.has(diffId));
    if (fresh.length > 0 && findRun(own, fresh, at) !== at) throw notThere(image, part, at);
    for (const diffId of fresh) held.add(diffId);
    const ownDigests = above.map(diffId => own.digests[own.diffIds.indexOf(diffId)]!);
    const entry: AppliedEntry = {
      ...{ name, ref, digest: part.descriptor.digest, anyBase: shared < height, conflicts: [] },
      held: { shared, own: ownDigests },
    };
    entries.push(entry);
    for (let index = at; index < at + fresh.length; index++) brought.set(index, entry);
    at += fresh.length;
  }
  const annotations = base ? annotationsOf(base, baseRef!) : inherited(parts[0]!.image);
  return { height, entries, brought, annotations };
}

/** How many layers an image says to be its base's. */
function baseHeight({ name, manifest: { layers } }: StoredImage): number {
  const first = layers.findIndex(layer => roleOf(layer) !== 'base');
  const height = first < 0 ? layers.length : first;
  if (height > 0) return height;
  throw new StkError('usage', `${name} does not say which of its layers are its base's`, {
    hint: 'name the base that both stand on: --base REF',
  });
}

function asApplied(layer: Descriptor, { name, ref, digest }: AppliedEntry): Descriptor {
  return withRole(layer, 'apply', { [APPLY_NAME]: name, [APPLY_REF]: ref, [APPLY_DIGEST]: digest });
}

function inOwnRole(layer: Descriptor): Descriptor {
  const role = roleOf(layer);
  const isOwn = role !== undefined && role !== 'base' && role !== 'apply';
  return isOwn ? layer : withRole(layer, 'run' satisfies LayerRole);
}

function annotationsOf(base: StoredImage, ref: string): Record<string, string> {
  const named = baseAnnotations({ name: baseName(ref), digest: base.descriptor.digest });
  return { ...named, ...baseConfigAnnotation(base.config.config) };
}

/** What the first applied image says of the base that both stand on. */
function inherited({ manifest }: StoredImage): Record<string, string> {
  const names = [BASE_NAME, BASE_DIGEST, BASE_CONFIG];
  return Object.fromEntries(Object.entries(manifest.annotations ?? {}).filter(([name]) => names.includes(name)));
}

function notThere(image: StoredImage, part: StoredImage, at: number): StkError {
  return new StkError('conflict', `${image.name} does not hold the layers of ${part.name} as its layers ${at + 1} on`, {
    hint: 'name the applied images in the order in which their layers lie, and the very versions; nothing may lie between',
    facts: { image: image.name, applied: part.name, layer: at },
  });
}
