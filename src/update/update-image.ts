import { assertRenumberable } from '../apply/accounts/renumber-report.ts';
import { conflictError } from '../apply/conflict-report.ts';
import { writeMergeLayer } from '../apply/merge-layer.ts';
import type { Remark } from '../apply/driver.ts';
import type { ConflictRule, MergeProblem } from '../apply/merge-problem.ts';
import type { MergeResult, SettledPath } from '../apply/merge-result.ts';
import { mergeTrees } from '../apply/merge-trees.ts';
import { openMergeProblem, type MergePlan } from '../apply/open-merge-problem.ts';
import { shownImagePath } from '../apply/printable.ts';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { silent, withTask, type Emit } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import type { Document } from '../oci/compose.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import {
  APPLY_LIST,
  mergeAnnotations,
  renumberedAnnotations,
  type RenumberedAccount,
} from '../oci/layer-annotations.ts';
import { layerDescriptor } from '../sources/layer-descriptor.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import { OpenLayers } from '../lazy/open-layers.ts';
import { formLayers, originalLayers, type NewBlob, type ResultForm } from './result-form.ts';
import { composeUpdate } from './update-compose.ts';
import { OF_AN_UPDATE } from './update-conflict.ts';
import { updateSettings } from './update-settings.ts';
import { planUpdate, type StoredImage, type UpdateParts, type UpdatePlan } from './update-plan.ts';
import type { HeldLayer } from './update-segments.ts';

/**
 * Makes files anew with programs of the image, in the tree that the layers and the result's entries show together; the
 * result then holds those files, too.
 */
export type Regenerate = (request: {
  readonly problem: MergeProblem;
  readonly result: MergeResult;
  /** The plain stack, bottom up. */
  readonly layers: readonly PlacedLayer[];
}) => Promise<MergeResult>;

/** Where a layer's blob is: a file in `scratch`, or in a store. */
export type PlacedLayer = { readonly descriptor: Descriptor } & NewBlob['from'];

export interface UpdateOptions {
  /** An empty directory of the caller's, for layers until they are published. */
  readonly scratch: AbsPath;
  readonly packing: PackOptions;
  readonly epochSeconds?: number | undefined;
  /** RFC 3339. */
  readonly created: string;
  /** Asked before the rules that the image itself brings. */
  readonly rules?: readonly ConflictRule[];
  /** Contents that a layer may hold for nothing but their owners; default 64 MiB. */
  readonly renumberLimitBytes?: number | undefined;
  /** Without it, an update that needs a program of the image is `unsupported`. */
  readonly regenerate?: Regenerate | undefined;
  /** How the layers of the result lie in it; without it, as they are worked on. */
  readonly form?: ResultForm | undefined;
  /** Layers of bases and applied images, which other updates read as well; stays the caller's. */
  readonly shared?: OpenLayers;
  readonly emit?: Emit;
  readonly signal?: AbortSignal | undefined;
}

/** A layer that was made here. */
interface MadeLayer {
  readonly layer: HeldLayer;
  readonly file: AbsPath;
}

export interface UpdatedImage {
  readonly config: Document;
  readonly manifest: Document;
  /** Bottom up. */
  readonly layers: readonly Descriptor[];
  /** Layers to be brought to where the image is. */
  readonly fresh: readonly NewBlob[];
  /** Layers that the image no longer has. */
  readonly removed: readonly Descriptor[];
  /** Paths of the new merge and update layers that a driver or rule settled. */
  readonly settled: readonly SettledPath[];
  /** Accounts that have other ids in these layers than the images that they come from. */
  readonly renumbered: readonly RenumberedAccount[];
  /** What a person should know of the merges. */
  readonly remarks: readonly Remark[];
}

/**
 * Computes the next version of an image and runs nothing of it. `undefined` where the layers below its own and its settings
 * are the same as before. Reads from the stores' blobs what the merge needs; writes to `scratch` alone. Throws `conflict` for what
 * cannot be merged, with all conflicts in its message, and as `planUpdate` does.
 */
export async function updateImage(
  image: StoredImage,
  parts: UpdateParts,
  options: UpdateOptions,
): Promise<UpdatedImage | undefined> {
  const plan = planUpdate(image, parts);
  const settings = updateSettings(image, parts, options.rules ?? [], options.emit);
  if (plan.unchanged && settings === undefined) return undefined;
  await using work = new UpdateWork(image.name, plan, options);
  const { segments, base, applied } = plan;
  const merge = plan.merge && (await work.layer('merge', plan.merge, count => `stk merge ${count} paths`));
  const below = [...base, ...applied, ...(merge ? [merge.layer] : [])];
  const update =
    segments.kept.length > 0
      ? await work.layer('update', updatePlan(image, plan, below, parts), count => `stk update ${count} paths`)
      : undefined;
  const layers = [...below, ...segments.kept, ...(update ? [update.layer] : [])];
  const files = new Map(
    [merge, update].flatMap(made => (made ? [[made.layer.descriptor.digest, made.file] as const] : [])),
  );
  const formed = await formLayers(layers, options.form, ({ digest }) => {
    const file = files.get(digest);
    return file === undefined ? { blob: plan.blobs.get(digest)! } : { file };
  });
  const before = originalLayers(image);
  const old = new Set(before.map(layer => layer.digest));
  const now = new Set(formed.layers.map(({ digest }) => digest));
  const composed = formed.segments({ ...plan, merge: merge?.layer, update: update?.layer, settings });
  return {
    ...composeUpdate(image, parts, composed, options.created),
    layers: formed.layers,
    fresh: formed.blobs.filter(({ descriptor }) => !old.has(descriptor.digest)),
    removed: before.filter(({ digest }) => !now.has(digest)),
    settled: work.settled,
    renumbered: work.renumbered,
    remarks: work.remarks,
  };
}

/**
 * What the kept layers changed is brought together with what changed below them. The image as it was, its old update layer
 * included, is one side: only with that layer on top do the kept ones fit what lay below them. The new update layer
 * replaces the old one, so its paths are looked at in any case.
 */
function updatePlan(image: StoredImage, plan: UpdatePlan, below: readonly HeldLayer[], parts: UpdateParts): MergePlan {
  const { segments, rules, chosen } = plan;
  const digests = (layers: readonly (HeldLayer | undefined)[]) =>
    layers.flatMap(layer => layer?.descriptor.digest ?? []);
  const ancestor = digests([...segments.base, ...segments.applied, segments.merge]);
  const fresh = digests(below);
  const kept = digests(segments.kept);
  const old = digests([segments.update]);
  return {
    ancestor,
    sides: [
      {
        name: swappedNames(image, parts),
        tree: fresh,
        own: unique([...changedLayers(ancestor, fresh), ...old]),
        rules,
      },
      { name: `${image.name}'s own layers`, tree: [...ancestor, ...kept, ...old], own: [...kept, ...old], rules },
    ],
    plain: [...fresh, ...kept],
    previous: { layers: [...ancestor, ...kept, ...old], chosen },
  };
}

/** Layers that name every path at which two stacks can differ. */
function changedLayers(old: readonly Digest[], now: readonly Digest[]): readonly Digest[] {
  const common = old.filter(digest => now.includes(digest));
  const sameOrder = now.filter(digest => old.includes(digest)).every((digest, index) => digest === common[index]);
  if (!sameOrder) return [...old, ...now];
  return [...old.filter(digest => !now.includes(digest)), ...now.filter(digest => !old.includes(digest))];
}

function unique(digests: readonly Digest[]): readonly Digest[] {
  return [...new Set(digests)];
}

/** What is new below the kept layers. */
function swappedNames(image: StoredImage, { applied, base }: UpdateParts): string {
  const before = image.manifest.annotations?.[APPLY_LIST] ?? '';
  const swapped = applied
    .filter(({ entry }) => !before.includes(entry.digest))
    .map(({ entry }) => `the new ${entry.name}`);
  return [...(base ? ['the new base'] : []), ...swapped].join(', ') || 'the applied images';
}

/** Merges and packs; keeps every layer that was opened until the end. */
class UpdateWork implements AsyncDisposable {
  readonly settled: SettledPath[] = [];
  readonly renumbered: RenumberedAccount[] = [];
  readonly remarks: Remark[] = [];
  readonly #image: string;
  readonly #plan: UpdatePlan;
  readonly #options: UpdateOptions;
  readonly #opened = new OpenLayers();
  readonly #made = new Map<Digest, MadeLayer>();
  readonly #common: ReadonlySet<Digest>;

  constructor(image: string, plan: UpdatePlan, options: UpdateOptions) {
    this.#image = image;
    this.#plan = plan;
    this.#options = options;
    const { segments, base, applied } = plan;
    const common = [segments.base, segments.applied, base, applied].flat();
    this.#common = new Set(common.map(({ descriptor }) => descriptor.digest));
  }

  /** `undefined` where the plain stack is right already. */
  async layer(
    role: 'merge' | 'update',
    merge: MergePlan,
    createdBy: (paths: number) => string,
  ): Promise<MadeLayer | undefined> {
    const { emit = silent, signal } = this.#options;
    const task = { group: 'update', kind: 'check' as const, label: role === 'merge' ? 'merging' : 'reconciling' };
    return withTask(emit, task, () => this.#layer(role, merge, createdBy), signal);
  }

  async #layer(
    role: 'merge' | 'update',
    merge: MergePlan,
    createdBy: (paths: number) => string,
  ): Promise<MadeLayer | undefined> {
    const { scratch, packing, epochSeconds, created, signal } = this.#options;
    const problem = await this.#problem(merge);
    const result = await this.#regenerated(
      problem,
      await mergeTrees(problem, { mayRun: this.#options.regenerate !== undefined, signal }),
      merge,
    );
    this.remarks.push(...result.remarks);
    if (result.entries.length === 0) return undefined;
    const file = joinInside(scratch, role);
    const blob = await writeMergeLayer({ result, problem, output: file, packing, epochSeconds, signal });
    const described = layerDescriptor(blob, packing, role);
    const annotations = {
      ...mergeAnnotations(result.settled, result.remarks),
      ...renumberedAnnotations(result.renumbered.accounts),
    };
    const descriptor = { ...described, annotations: { ...described.annotations, ...annotations } };
    const history = { created, created_by: createdBy(result.settled.length), author: 'stk' };
    const made = { layer: { descriptor, diffId: blob.digest, history, before: [] }, file };
    this.#made.set(blob.digest, made);
    this.settled.push(...result.settled);
    this.renumbered.push(...result.renumbered.accounts);
    return made;
  }

  #problem(merge: MergePlan): Promise<MergeProblem> {
    const { rules = [] } = this.#options;
    const sides = merge.sides.map(side => ({ ...side, rules: [...rules, ...side.rules] }));
    return openMergeProblem({ ...merge, sides }, digests => this.#open(digests));
  }

  #open(digests: readonly Digest[]): Promise<readonly SquashfsReader[]> {
    return this.#opened.all(
      digests,
      (digest, signal) => {
        const made = this.#made.get(digest);
        if (made) return this.#opened.openFile(made.file, digest, signal);
        const { store, descriptor } = this.#plan.blobs.get(digest)!;
        const opened = this.#common.has(digest) ? (this.#options.shared ?? this.#opened) : this.#opened;
        return opened.open(store, descriptor, signal);
      },
      this.#options.signal,
    );
  }

  async #regenerated(problem: MergeProblem, result: MergeResult, { plain }: MergePlan): Promise<MergeResult> {
    if (result.conflicts.length > 0) throw conflictError(result.conflicts, this.#image, OF_AN_UPDATE);
    assertRenumberable(result.renumbered, this.#image, this.#options.renumberLimitBytes);
    if (result.regenerate.length === 0) return result;
    const { regenerate } = this.#options;
    if (regenerate) return regenerate({ problem, result, layers: plain.map(digest => this.#placed(digest)) });
    const paths = result.regenerate.flatMap(each => each.paths).map(shownImagePath);
    throw new StkError('unsupported', `a program of the image has to make ${paths.slice(0, 5).join(', ')} anew`, {
      hint: 'copy the image into a layout, update it there, and publish it; or give a rule, --conflict GLOB=last',
      facts: { paths },
    });
  }

  #placed(digest: Digest): PlacedLayer {
    const made = this.#made.get(digest);
    if (made) return { descriptor: made.layer.descriptor, file: made.file };
    const blob = this.#plan.blobs.get(digest)!;
    return { descriptor: blob.descriptor, blob };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
  }
}
