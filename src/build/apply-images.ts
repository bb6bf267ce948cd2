import type { MergeProblem } from '../apply/merge-problem.ts';
import { mergeTrees } from '../apply/merge-trees.ts';
import { writeMergeLayer } from '../apply/merge-layer.ts';
import { conflictError } from '../apply/conflict-report.ts';
import { regenerateFiles, withFiles, type RegeneratedFile } from '../apply/regenerate.ts';
import { planStack, type StackPlan } from '../apply/stack-plan.ts';
import type { MergeResult } from '../apply/merge-result.ts';
import { formatBytes } from '../core/bytes.ts';
import type { CacheKey, Digest } from '../core/digest.ts';
import { say, withTask } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import type { LayerBlob } from '../layer/layer-blob.ts';
import { APPLY_DIGEST, APPLY_NAME, APPLY_REF, LAYER_ROLE, mergeAnnotations } from '../oci/layer-annotations.ts';
import type { LayerRole } from '../oci/layer-annotations.ts';
import { contentKey } from '../plan/content-key.ts';
import type { KnownBase } from '../sources/bases.ts';
import { layerDescriptor } from '../sources/layer-descriptor.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { AppliedLayer, KnownApplied, MergeRecord, StackParts } from './applied-layers.ts';
import type { ImageBuild } from './image-build.ts';
import { openMergeProblem, type MergeLayers } from './open-merge-problem.ts';

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
  const merge = await mergeOf(build, plan, known, baseLayers!);
  if (merge.layer !== undefined) {
    const created = layers.reduce((newest, { created }) => (created > newest ? created : newest), '');
    const annotations = mergeAnnotations(merge.settled.map(({ path, driver }) => ({ path: imageBytes(path), driver })));
    const label = `stk merge ${merge.settled.length} paths`;
    layers.push({ layer: { squashfs: merge.layer }, role: 'merge', annotations, created, createdBy: label });
  }
  return { base: baseLayers!, applied: { layers, settled: merge.settled } };
}

/** The byte string of an absolute path that is text. */
function imageBytes(path: string): string {
  return Buffer.from(path.slice(1)).toString('latin1');
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
  baseLayers: readonly StackLayer[],
): Promise<MergeRecord> {
  if (plan.sides.length < 2) return { settled: [] };
  const { options } = build;
  const plain = [...baseLayers.map(({ squashfs }) => squashfs.digest), ...plan.appended.map(({ digest }) => digest)];
  const sides = plan.sides.map(({ image, tree, own }) => ({
    name: image === undefined ? 'base' : known[image]!.applied.name,
    tree,
    own,
    rules: image === undefined ? [] : known[image]!.entry.conflicts,
  }));
  const key = contentKey('merge', undefined, {
    ancestor: plan.ancestor,
    sides: sides.map(({ tree, rules }) => ({ tree, rules: rules.map(({ glob, resolution }) => [glob, resolution]) })),
    plain,
    packing: JSON.stringify(options.packing),
    epoch: options.epochSeconds ?? null,
  });
  return build.merges.run(key, () => rememberedMerge(build, key, { ancestor: plan.ancestor, sides, plain }));
}

/** Does a merge unless it was done before. */
async function rememberedMerge(build: ImageBuild, key: CacheKey, layers: MergeLayers): Promise<MergeRecord> {
  const { layout, records, options, signal } = build;
  const remembered = options.useCache ? asMergeRecord(await records.get('apply', key)) : undefined;
  if (remembered && (!remembered.layer || (await layout.hasBlob(remembered.layer)))) return remembered;
  await using problem = await openMergeProblem(layers, layout, signal);
  const record = await merge(build, problem, layers.plain);
  await records.put('apply', key, record as never);
  return record;
}

async function merge(build: ImageBuild, problem: MergeProblem, plain: readonly Digest[]): Promise<MergeRecord> {
  const { definition, options, layout, signal } = build;
  const names = problem.sides.map(side => side.name).join(', ');
  return withTask(
    build.emit,
    { group: definition.name, kind: 'merge', label: `apply ${names}` },
    async task => {
      const result = await mergeTrees(problem, { signal });
      if (result.conflicts.length > 0) throw conflictError(result.conflicts, definition.name);
      const settled = result.settled.map(({ path, driver, sides }) => ({
        path: `/${Buffer.from(path, 'latin1').toString('utf8')}`,
        driver,
        sides,
      }));
      if (result.entries.length === 0 && result.regenerate.length === 0) {
        task.finish('done', 'nothing to merge');
        return { settled };
      }
      await using temporary = await layout.makeTemp();
      const write = async (name: string, merged: typeof result) => {
        const output = joinInside(temporary.path, name);
        const { packing, epochSeconds } = options;
        const request = { result: merged, problem, output, packing, signal };
        const blob = await writeMergeLayer(epochSeconds === undefined ? request : { ...request, epochSeconds });
        return { output, blob };
      };
      const draft = result.regenerate.length === 0 ? undefined : await write('draft', result);
      const made = draft === undefined ? [] : await regenerate(build, result, plain, draft);
      const { output, blob } = await write('layer', await withFiles(problem, result, made));
      const layer = layerDescriptor(blob, options.packing, 'merge');
      await layout.adoptBlob(output, layer);
      task.finish('done', `${settled.length} paths, ${formatBytes(blob.sizeBytes)}`);
      for (const { path, driver } of settled) say(build.emit, 'debug', `merged ${path} (${driver})`, definition.name);
      return { layer, settled };
    },
    signal,
  );
}

let nextRun = 0;

/** Runs the programs that make files anew on the plain stack with a first draft of the merge layer on top. */
async function regenerate(
  build: ImageBuild,
  result: MergeResult,
  plain: readonly Digest[],
  draft: { readonly output: AbsPath; readonly blob: LayerBlob },
): Promise<readonly RegeneratedFile[]> {
  const { mounts, directory, rootless } = await build.workshop();
  const { definition, layout, signal } = build;
  const layers = [{ digest: draft.blob.digest, path: draft.output }];
  for (const digest of new Set(plain.toReversed())) layers.push({ digest, path: layout.blobPath(digest) });
  const mounted: AbsPath[] = [];
  for (const layer of layers) mounted.push(await mounts.mount(layer, signal));
  const label = result.regenerate.map(({ command }) => command[0]).join(', ');
  return withTask(
    build.emit,
    { group: definition.name, kind: 'run', label },
    task =>
      regenerateFiles({
        commands: result.regenerate,
        layers: mounted,
        directory: joinInside(directory, `regenerate-${++nextRun}`),
        rootless,
        onOutput: (stream, line) => task.output(stream, [line]),
        signal,
      }),
    signal,
  );
}

function asMergeRecord(value: unknown): MergeRecord | undefined {
  return typeof value === 'object' && value !== null && 'settled' in value ? (value as MergeRecord) : undefined;
}
