import type { ConflictRule, PreviousImage } from '../apply/merge-problem.ts';
import type { MergePlan } from '../apply/open-merge-problem.ts';
import { planStack, type AppliedImage, type StackPlan } from '../apply/stack-plan.ts';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor, RuntimeConfig } from '../oci/descriptor.ts';
import {
  APPLY_DIGEST,
  APPLY_NAME,
  APPLY_REF,
  MERGE_RENUMBERED,
  parseRenumbered,
  type AppliedEntry,
} from '../oci/layer-annotations.ts';
import type { ResolvedImage } from '../oci/resolve-image.ts';
import { namedBase } from '../sources/bases.ts';
import { withRole } from '../sources/layer-descriptor.ts';
import { conflictRule } from './update-rules.ts';
import { heldLayers, roleOf, splitImage, type HeldLayer, type ImageSegments } from './update-segments.ts';

/** An image and the store that has its blobs. */
export interface StoredImage extends ResolvedImage {
  readonly store: BlobStore;
  /** For messages. */
  readonly name: string;
  /** Of an image that is read as squashfs: the layers that it has, by the digest of what stands for them. */
  readonly originals?: ReadonlyMap<Digest, OriginalLayer> | undefined;
}

/** A layer as it lies in its image. */
export interface OriginalLayer extends StoredBlob {
  readonly diffId: Digest;
}

/** What an image is made of next: its entries of `apply` in order, those that stay the same included. */
export interface UpdateParts {
  /** `undefined`: the base stays. */
  readonly base: StoredImage | undefined;
  /** Settings of the base that the image stands on, where they could be had. */
  readonly oldBaseSettings?: RuntimeConfig | undefined;
  readonly applied: readonly { readonly entry: AppliedEntry; readonly image: StoredImage }[];
  /** The image says afterwards no more of what it applies than before. */
  readonly unrecorded?: boolean;
}

export interface UpdatePlan {
  readonly segments: ImageSegments;
  /** The new base. */
  readonly base: readonly HeldLayer[];
  /** What is applied on it, verbatim. */
  readonly applied: readonly HeldLayer[];
  /** Whether base and applied layers are what they were, in the same order: then nothing else can change. */
  readonly unchanged: boolean;
  /** How the merge layer comes about; `undefined` where none can be needed. */
  readonly merge: MergePlan | undefined;
  /** What is applied, each with how it lies in the image. */
  readonly entries: readonly AppliedEntry[];
  /** Accounts whose ids the image's merge layers have chosen. */
  readonly chosen: PreviousImage['chosen'];
  /** Rules of all entries, for what the kept layers have changed. */
  readonly rules: readonly ConflictRule[];
  /** Where each blob is and how it is described: everything that a plan names. */
  readonly blobs: ReadonlyMap<Digest, StoredBlob>;
}

export interface StoredBlob {
  readonly store: BlobStore;
  readonly descriptor: Descriptor;
}

/**
 * Decides what an image stands on next. Pure. Throws `conflict` where an applied image was built on another base, and
 * `unsupported` as `splitImage` does.
 */
export function planUpdate(image: StoredImage, parts: UpdateParts): UpdatePlan {
  const segments = splitImage(image.manifest, image.config, image.name);
  const base = parts.base ? newBase(parts.base) : segments.base;
  const annotated = namedBase(image.manifest.annotations);
  const below = base.map(({ descriptor }) => ({ digest: descriptor.digest, role: 'base' as const }));
  const stack = planStack(
    {
      name: parts.base?.name ?? annotated?.name ?? `the base of ${image.name}`,
      digest: parts.base?.descriptor.digest ?? annotated?.digest,
      layers: below,
    },
    parts.applied.map(({ entry, image: each }) => appliedImage(entry, each)),
  );
  const held = parts.applied.map(({ image: each }) => heldLayers(each.manifest, each.config, each.name).layers);
  const applied = stack.appended.map(({ digest, image: index }) => {
    const layer = held[index]!.find(({ descriptor }) => descriptor.digest === digest)!;
    const { entry, image: from } = parts.applied[index]!;
    const created = from.config.created ?? new Date(0).toISOString();
    const history = { created, created_by: `stk apply ${entry.name}`, author: 'stk' };
    return { ...layer, before: [], history, descriptor: asApplied(layer.descriptor, entry) };
  });
  const digests = (layers: readonly HeldLayer[]) => layers.map(({ descriptor }) => descriptor.digest);
  const old = [...digests(segments.base), ...digests(segments.applied)];
  const now = [...digests(base), ...digests(applied)];
  const chosen = chosenAccounts(segments);
  return {
    segments,
    base,
    applied,
    unchanged: old.length === now.length && old.every((digest, index) => digest === now[index]),
    entries: parts.applied.map(({ entry }, index) => ({ ...entry, held: stack.placed[index]! })),
    merge: mergePlan(stack, parts, now, {
      layers: [...old, ...digests(segments.merge ? [segments.merge] : [])],
      chosen,
    }),
    chosen,
    rules: parts.applied.flatMap(({ entry }) => rulesOf(entry)),
    blobs: blobsOf(image, parts),
  };
}

function newBase(base: StoredImage): readonly HeldLayer[] {
  const { layers } = heldLayers(base.manifest, base.config, base.name);
  return layers.map(layer => ({ ...layer, descriptor: withRole(layer.descriptor, 'base') }));
}

function appliedImage(entry: AppliedEntry, image: StoredImage): AppliedImage {
  const base = namedBase(image.manifest.annotations);
  return {
    name: entry.name,
    layers: image.manifest.layers.map(layer => ({ digest: layer.digest, role: roleOf(layer) })),
    baseName: base?.name,
    baseDigest: base?.digest,
    anyBase: entry.anyBase,
  };
}

function asApplied(descriptor: Descriptor, { name, ref, digest }: AppliedEntry): Descriptor {
  return withRole(descriptor, 'apply', { [APPLY_NAME]: name, [APPLY_REF]: ref, [APPLY_DIGEST]: digest });
}

/** What the merge and update layers say of accounts that they have given ids; what they say is believed of names only. */
function chosenAccounts({ merge, update }: ImageSegments): PreviousImage['chosen'] {
  const chosen = { user: new Set<string>(), group: new Set<string>() };
  for (const layer of [merge, update]) {
    const accounts = parseRenumbered(layer?.descriptor.annotations?.[MERGE_RENUMBERED] ?? '[]');
    // Names are byte strings where they are looked up.
    for (const { kind, name } of accounts) {
      if (kind === 'user' || kind === 'group') chosen[kind].add(Buffer.from(name).toString('latin1'));
    }
  }
  return chosen;
}

function mergePlan(
  stack: StackPlan,
  parts: UpdateParts,
  plain: readonly Digest[],
  previous: NonNullable<MergePlan['previous']>,
): MergePlan | undefined {
  if (stack.sides.length === 0) return undefined;
  const sides = stack.sides.map(({ image, tree, own }) => {
    const entry = image === undefined ? undefined : parts.applied[image]!.entry;
    return { name: entry?.name ?? 'the base', tree, own, rules: entry ? rulesOf(entry) : [] };
  });
  const [only] = sides;
  // What one image alone brings is right as it lies there.
  if (sides.length === 1 && only!.tree.join() === plain.join()) return undefined;
  return { ancestor: stack.ancestor, sides, plain, previous };
}

function rulesOf({ conflicts }: AppliedEntry): readonly ConflictRule[] {
  return conflicts.map(([glob, resolution]) => conflictRule(glob, resolution));
}

/** The image's own store first: what it has need not be fetched from elsewhere. */
function blobsOf(image: StoredImage, parts: UpdateParts): ReadonlyMap<Digest, StoredBlob> {
  const images = [image, ...(parts.base ? [parts.base] : []), ...parts.applied.map(each => each.image)];
  const blobs = new Map<Digest, StoredBlob>();
  for (const { store, manifest, name } of images) {
    for (const descriptor of manifest.layers) {
      const known = blobs.get(descriptor.digest);
      if (known === undefined) blobs.set(descriptor.digest, { store, descriptor });
      else if (known.descriptor.size !== descriptor.size) {
        throw new StkError('invalid-input', `${name} gives layer ${descriptor.digest} another size`, {
          facts: { digest: descriptor.digest },
        });
      }
    }
  }
  return blobs;
}
