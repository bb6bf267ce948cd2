import type { MergeProblem } from '../apply/merge-problem.ts';
import { NOTHING_RENUMBERED, assertRenumberable } from '../apply/accounts/renumber-report.ts';
import { mergeTrees } from '../apply/merge-trees.ts';
import { writeMergeLayer } from '../apply/merge-layer.ts';
import { conflictError } from '../apply/conflict-report.ts';
import { openMergeProblem, type MergePlan } from '../apply/open-merge-problem.ts';
import { regenerate } from '../apply/regenerate.ts';
import { imagePlatform } from './image-platform.ts';
import { planStack, type StackPlan } from '../apply/stack-plan.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { formatBytes } from '../core/bytes.ts';
import type { CacheKey, Digest } from '../core/digest.ts';
import { say, withTask } from '../core/events.ts';
import { byteString, textOfByteString } from '../core/host-text.ts';
import { joinInside } from '../core/paths.ts';
import {
  APPLY_DIGEST,
  APPLY_NAME,
  APPLY_REF,
  LAYER_ROLE,
  mergeAnnotations,
  renumberedAnnotations,
  type LayerRole,
} from '../oci/layer-annotations.ts';
import { contentKey } from '../plan/content-key.ts';
import type { KnownBase } from '../sources/bases.ts';
import { layerDescriptor } from '../sources/layer-descriptor.ts';
import { openLayer } from '../sources/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { StackLayer } from '../sources/ports.ts';
import {
  MERGE_VERSION,
  type AppliedLayer,
  type KnownApplied,
  type MergeRecord,
  type StackParts,
} from './applied-layers.ts';
import type { ImageBuild } from './image-build.ts';
import { warnOfSharedSecrets } from './shared-secrets.ts';

/**
 * Brings the layers of applied images and merges what they changed differently. Throws `conflict` with all conflicts that
 * neither a driver nor a rule settles.
 */
export async function applyImages(
  build: ImageBuild,
  base: KnownBase,
  known: readonly KnownApplied[],
): Promise<StackParts> {
  const { signal } = build;
  const [baseLayers, ...images] = await Promise.all(
    [base, ...known.map(({ image }) => image)].map(image => image.layers(signal)),
  );
  const plan = planStack(
    { name: base.name ?? build.definition.from.type, digest: base.digest, layers: baseLayers!.map(planned) },
    known.map(({ applied, image }, index) => ({
      name: applied.name,
      layers: images[index]!.map(planned),
      baseName: image.builtOn?.name,
      baseDigest: image.builtOn?.digest,
      anyBase: applied.anyBase,
    })),
  );
  const all = new Map([...baseLayers!, ...images.flat()].map(layer => [layer.squashfs.digest, layer]));
  const layers = plan.appended.map(({ digest, image }) => appliedLayer(all.get(digest)!, known[image]!, build));
  const merge = await mergeOf(build, plan, known, { base: baseLayers!, all });
  assertRenumberable(merge.renumbered, build.definition.name, build.options.renumberLimitBytes);
  for (const { level, text } of merge.remarks) say(build.emit, level, text, build.definition.name);
  await warnOfSharedSecrets(
    build,
    baseLayers!,
    known.map(({ applied }, index) => ({ name: applied.name, layers: images[index]! })),
  );
  if (merge.layer !== undefined) {
    const created = layers.reduce((newest, { created }) => (created > newest ? created : newest), '');
    const annotations = {
      ...mergeAnnotations(
        merge.settled.map(({ path, driver }) => ({ path: byteString(path.slice(1)), driver })),
        merge.remarks,
      ),
      ...renumberedAnnotations(merge.renumbered.accounts),
    };
    const label = `stk merge ${merge.settled.length} paths`;
    layers.push({ layer: { squashfs: merge.layer }, role: 'merge', annotations, created, createdBy: label });
  }
  const entries = known.map(({ applied }, index) => ({ ...applied, held: plan.placed[index]! }));
  return { base: baseLayers!, applied: { layers, settled: merge.settled, remarks: merge.remarks, entries } };
}

function planned({ squashfs }: StackLayer): { readonly digest: Digest; readonly role: LayerRole | undefined } {
  return { digest: squashfs.digest, role: squashfs.annotations?.[LAYER_ROLE] as LayerRole | undefined };
}

function appliedLayer(layer: StackLayer, { applied, image }: KnownApplied, build: ImageBuild): AppliedLayer {
  const { epochSeconds } = build.options;
  const created = epochSeconds === undefined ? image.config?.created : new Date(epochSeconds * 1000).toISOString();
  return {
    layer,
    role: 'apply',
    annotations: { [APPLY_NAME]: applied.name, [APPLY_REF]: applied.ref, [APPLY_DIGEST]: applied.digest },
    created: created ?? new Date(0).toISOString(),
    createdBy: `stk apply ${applied.name}`,
  };
}

async function mergeOf(
  build: ImageBuild,
  plan: StackPlan,
  known: readonly KnownApplied[],
  { base, all }: { readonly base: readonly StackLayer[]; readonly all: ReadonlyMap<Digest, StackLayer> },
): Promise<MergeRecord> {
  if (plan.sides.length < 2) return { settled: [], remarks: [], renumbered: NOTHING_RENUMBERED };
  const { options } = build;
  const plain = [...base.map(({ squashfs }) => squashfs.digest), ...plan.appended.map(({ digest }) => digest)];
  const sides = plan.sides.map(({ image, tree, own }) => ({
    name: image === undefined ? 'base' : known[image]!.applied.name,
    tree,
    own,
    rules: image === undefined ? [] : known[image]!.entry.conflicts,
  }));
  const key = contentKey('merge', undefined, {
    ancestor: plan.ancestor,
    sides: sides.map(({ name, tree, rules }) => ({
      name,
      tree,
      rules: rules.map(({ glob, resolution }) => [glob, resolution]),
    })),
    version: MERGE_VERSION,
    plain,
    packing: JSON.stringify(options.packing),
    epoch: options.epochSeconds ?? null,
  });
  return build.merges.run(key, () => rememberedMerge(build, key, { ancestor: plan.ancestor, sides, plain }, all));
}

/** Does a merge unless it was done before. */
async function rememberedMerge(
  build: ImageBuild,
  key: CacheKey,
  plan: MergePlan,
  all: ReadonlyMap<Digest, StackLayer>,
): Promise<MergeRecord> {
  const { layout, records, options, signal } = build;
  const remembered = options.useCache ? asMergeRecord(await records.get('apply', key)) : undefined;
  if (remembered && (!remembered.layer || (await layout.hasBlob(remembered.layer)))) return remembered;
  await using scope = new AsyncScope();
  const readers = new Map<Digest, SquashfsReader>();
  const problem = await openMergeProblem(plan, async digests => {
    for (const digest of digests) {
      if (!readers.has(digest)) readers.set(digest, scope.use(await openLayer(layout, { digest }, signal)));
    }
    return digests.map(digest => readers.get(digest)!);
  });
  const record = await merge(
    build,
    problem,
    plan.plain.map(digest => all.get(digest)!),
  );
  await records.put('apply', key, record as never);
  return record;
}

async function merge(build: ImageBuild, problem: MergeProblem, plain: readonly StackLayer[]): Promise<MergeRecord> {
  const { definition, options, layout, signal } = build;
  const names = problem.sides.map(side => side.name).join(', ');
  return withTask(
    build.emit,
    { group: definition.name, kind: 'merge', label: `apply ${names}` },
    async task => {
      const result = await mergeTrees(problem, { signal });
      if (result.conflicts.length > 0) throw conflictError(result.conflicts, definition.name);
      const { renumbered } = result;
      assertRenumberable(renumbered, definition.name, options.renumberLimitBytes);
      const settled = result.settled.map(({ path, driver, sides }) => ({
        path: `/${textOfByteString(path)}`,
        driver,
        sides,
      }));
      if (result.entries.length === 0 && result.regenerate.length === 0) {
        task.finish('done', 'nothing to merge');
        return { settled, remarks: result.remarks, renumbered };
      }
      await using temporary = await layout.makeTemp();
      const { packing, epochSeconds } = options;
      const whole =
        result.regenerate.length === 0
          ? result
          : await regenerate({
              platform: imagePlatform(definition, options),
              problem,
              result,
              layers: plain.map(({ squashfs }) => ({ descriptor: squashfs, file: layout.blobPath(squashfs.digest) })),
              draft: joinInside(temporary.path, 'draft'),
              packing,
              epochSeconds,
              place: await build.workshop(),
              emit: build.emit,
              group: definition.name,
              signal,
            });
      const output = joinInside(temporary.path, 'layer');
      const blob = await writeMergeLayer({ result: whole, problem, output, packing, epochSeconds, signal });
      const layer = layerDescriptor(blob, options.packing, 'merge');
      await layout.adoptBlob(output, layer);
      task.finish('done', `${settled.length} paths, ${formatBytes(blob.sizeBytes)}`);
      for (const { path, driver } of settled) say(build.emit, 'debug', `merged ${path} (${driver})`, definition.name);
      for (const { kind, name, image, from, to } of renumbered.accounts) {
        say(build.emit, 'info', `${kind} ${name} of ${image} has the id ${to} in place of ${from}`, definition.name);
      }
      return { layer, settled, remarks: result.remarks, renumbered };
    },
    signal,
  );
}

function asMergeRecord(value: unknown): MergeRecord | undefined {
  return typeof value === 'object' &&
    value !== null &&
    'settled' in value &&
    'renumbered' in value &&
    'remarks' in value
    ? (value as MergeRecord)
    : undefined;
}
