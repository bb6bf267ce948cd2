import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { HeldStack, LayerRole } from '../oci/layer-annotations.ts';

/** One layer as the plan sees it. */
export interface PlannedLayer {
  readonly digest: Digest;
  readonly role: LayerRole | undefined;
}

/** An image with the base that it stands on, as far as it is known. */
export interface StackBase {
  /** For messages. */
  readonly name: string;
  /** Digest of its manifest. */
  readonly digest: Digest | undefined;
  /** Bottom up. */
  readonly layers: readonly PlannedLayer[];
}

/** An image to be applied. */
export interface AppliedImage {
  readonly name: string;
  /** Bottom up, its base included. */
  readonly layers: readonly PlannedLayer[];
  /** Base that its manifest names. */
  readonly baseName: string | undefined;
  readonly baseDigest: Digest | undefined;
  /** It may stand on another base. */
  readonly anyBase: boolean;
}

/** A tree that takes part in the merge: layers bottom up, and which of them the common ancestor lacks. */
export interface PlannedSide {
  /** Position of the applied image; `undefined` for the base itself. */
  readonly image: number | undefined;
  readonly tree: readonly Digest[];
  readonly own: readonly Digest[];
}

/** How applied images are put on a base. */
export interface StackPlan {
  /** Layers that all trees have in common, bottom up. */
  readonly ancestor: readonly Digest[];
  /** In the order of application; the base is the first where an applied image does not stand on all of it. */
  readonly sides: readonly PlannedSide[];
  /** What goes on the base verbatim, bottom up, each layer once, with the image that brought it first. */
  readonly appended: readonly { readonly digest: Digest; readonly image: number }[];
  /** How each applied image lies on the base. */
  readonly placed: readonly HeldStack[];
}

/**
 * Decides which layers of applied images go on a base and which trees have to be merged. Throws `conflict` where an image
 * was built on another base and does not allow it.
 */
export function planStack(base: StackBase, images: readonly AppliedImage[]): StackPlan {
  const below = base.layers.map(layer => layer.digest);
  const placed = images.map(image => place(base, below, image));
  const ancestorCount = Math.min(below.length, ...placed.map(({ shared }) => shared));
  const sides: PlannedSide[] = placed.map(({ shared, own }, image) => ({
    image,
    tree: [...below.slice(0, shared), ...own],
    own: [...below.slice(ancestorCount, shared), ...own],
  }));
  if (ancestorCount < below.length) sides.unshift({ image: undefined, tree: below, own: below.slice(ancestorCount) });
  const held = new Set(below);
  const appended = placed.flatMap(({ own }, image) =>
    own.flatMap(digest => {
      if (held.has(digest)) return [];
      held.add(digest);
      return [{ digest, image }];
    }),
  );
  return { ancestor: below.slice(0, ancestorCount), sides, appended, placed };
}

/** How many layers of the base an image stands on, and those that it has above them. */
function place(base: StackBase, below: readonly Digest[], image: AppliedImage): HeldStack {
  const layers = image.layers.map(layer => layer.digest);
  const common = commonPrefix(below, layers);
  if (common === below.length) return { shared: common, own: layers.slice(common) };
  if (image.baseDigest !== undefined && image.baseDigest === base.digest) {
    // The same base under other packing options: its layers say which they are.
    const first = image.layers.findIndex(layer => layer.role !== 'base');
    return { shared: below.length, own: layers.slice(first < 0 ? layers.length : first) };
  }
  if (image.anyBase) return { shared: common, own: layers.slice(common) };
  const other = image.baseName ?? `a base that begins with ${layers[0] ?? 'no layer'}`;
  const on =
    other === base.name ? `another version of ${other} than this image` : `${other}, and this image on ${base.name}`;
  throw new StkError('conflict', `${image.name} was built on ${on}`, {
    hint: `build ${image.name} on the same base, or give its entry the key base with the value any`,
    facts: { image: image.name, base: base.name, otherBase: other },
  });
}

function commonPrefix(a: readonly Digest[], b: readonly Digest[]): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return index;
  return length;
}
