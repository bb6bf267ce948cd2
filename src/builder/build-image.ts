import { say } from '../core/events.ts';
import { throwIfAborted } from '../core/errors.ts';
import type { CacheKey } from '../core/digest.ts';
import { mapLimited } from '../core/limiter.ts';
import { packOptionsKey } from '../layer/pack-options.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import { APPLY_LIST, formatAppliedEntries } from '../oci/layer-annotations.ts';
import { contentKey } from '../plan/content-key.ts';
import { settingsKey } from '../recipe/definition.ts';
import { identifyImport, type KnownImport } from '../sources/imports.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { AppliedLayers } from './applied-layers.ts';
import { rememberInputs, sayWhatChanged } from './changed-inputs.ts';
import type { EmittedStep } from './emit-image.ts';
import { findImage, type ImageRecord, type ImageResult, type KnownImage } from './find-image.ts';
import type { ImageBuild } from './image-build.ts';
import { identifyStack, type ImageStack } from './image-stack.ts';
import { findOrigin, rememberOrigin, type ImageOrigin, type StepOrigin } from './image-origin.ts';
import { materialsOf } from './image-materials.ts';
import { imagePlatform } from './image-platform.ts';
import { imageSettings } from './image-settings.ts';
import { imageSteps, stepKey, type ImageStep } from './image-steps.ts';
import { buildParameters } from './build-parameters.ts';
import type { BuildOptions } from './options.ts';
import { findStep, rememberStep, type StepRecord } from './step-record.ts';

/** Builds one image: looks each step up, does those that are missing, writes manifest and configuration. Moves no tag. */
export async function buildImage(build: ImageBuild): Promise<ImageResult> {
  const { definition, options, signal } = build;
  const startedAt = new Date().toISOString();
  const platform = imagePlatform(definition, options);
  const packing = packOptionsKey(options.packing);
  const stack = await identifyStack(build, platform, packing);
  const imports = await mapLimited(
    definition.imports,
    4,
    (entry, inner) => identifyImport(entry, build.imports, inner),
    signal,
  );
  const steps = await imageSteps(definition, options, { imports, files: build.files }, signal);
  const done: { step: ImageStep; record: StepRecord }[] = [];
  const origins: StepOrigin[] = [];
  let ran = false;
  for (const step of steps) {
    throwIfAborted(signal);
    const below = done.map(entry => entry.record);
    const ground = { base: stack.key, layers: below.map(({ layer }) => layer?.digest ?? null) };
    const key = stepKey(step, ground, packing, options.epochSeconds);
    const { epochSeconds } = options;
    const missed = { image: definition.name, platform, step, below: ground, packing, epochSeconds };
    // Two images may stand at the same step: it is done once, and both remember the same record.
    const { record, fresh } = await build.steps.run(key, async () => {
      const known = options.useCache ? await findKnown(build, key) : undefined;
      if (!known && options.useCache) await sayWhatChanged(build.records, missed, build.emit);
      const record = known ?? (await runOne(build, step, { platform, stack, done: below, imports }));
      if (!known) {
        await rememberStep(build.records, key, record);
        await rememberInputs(build.records, missed);
      }
      for (const cache of build.stepCaches?.to ?? []) cache.rememberStep(key, record, build.layout, signal);
      return { record, fresh: known === undefined };
    });
    ran ||= fresh;
    done.push({ step, record });
    const { kind, label } = step;
    const layer = record.layer?.digest ?? null;
    origins.push({ kind, label, key, cached: !fresh, layer, created: record.created });
  }
  const result = await finish(build, { platform, stack, done, ran });
  const known = result.cached ? await findOrigin(build.records, result.manifest.digest) : undefined;
  if (known) return { ...result, origin: known };
  const origin: ImageOrigin = {
    name: definition.name,
    platform,
    recipe: build.provenance.recipe,
    materials: materialsOf(stack, imports),
    steps: origins,
    startedAt,
    finishedAt: new Date().toISOString(),
    parameters: buildParameters(options),
  };
  if (!result.cached) {
    for (const { digest } of result.manifests) await rememberOrigin(build.records, digest, origin);
  }
  return { ...result, origin };
}

/** A step that was done here, or on another machine: that is remembered as if it had been done here. */
async function findKnown(build: ImageBuild, key: CacheKey): Promise<StepRecord | undefined> {
  const { layout, records, signal } = build;
  const local = await findStep(records, layout, key);
  if (local) return local;
  for (const cache of build.stepCaches?.from ?? []) {
    const record = await cache.findStep(key, layout, signal);
    if (!record) continue;
    await rememberStep(records, key, record);
    return record;
  }
  return undefined;
}

/** What a step finds when its turn comes. */
interface StepGround {
  readonly platform: Platform;
  readonly stack: ImageStack;
  /** The steps before it. */
  readonly done: readonly StepRecord[];
  readonly imports: readonly KnownImport[];
}

async function runOne(build: ImageBuild, step: ImageStep, ground: StepGround): Promise<StepRecord> {
  const { platform, done, imports } = ground;
  const workshop = await build.workshop();
  const { base, applied } = await ground.stack.parts();
  const own = done.flatMap(record => (record.layer ? [{ squashfs: record.layer }] : []));
  const stack: StackLayer[] = [...base, ...applied.layers.map(({ layer }) => layer), ...own];
  const { definition, options, layout, emit, signal } = build;
  const { doStep } = await import('./do-step.ts');
  return doStep({
    definition,
    platform,
    step,
    stack,
    imports,
    options,
    layout,
    workshop,
    emit,
    signal,
  });
}

interface Finished {
  readonly platform: Platform;
  readonly stack: ImageStack;
  readonly done: readonly { readonly step: ImageStep; readonly record: StepRecord }[];
  readonly ran: boolean;
}

/** An image whose inputs are all known is the one that was written before, byte for byte, if that is still there. */
async function finish(build: ImageBuild, finished: Finished): Promise<KnownImage> {
  const { definition, options, records } = build;
  const { stack, done, platform } = finished;
  const { base } = stack;
  const key = contentKey('image', stack.key, {
    digest: base.digest ?? null,
    stack: stack.annotations,
    steps: done.map(({ step, record }) => [
      step.kind,
      record.layer?.digest ?? null,
      record.created,
      { ...record.labels },
    ]),
    settings: settingsKey(definition),
    platform: { ...platform },
    types: options.layerTypes,
    provenance: build.provenance.annotations,
    epoch: options.epochSeconds ?? null,
  });
  const known =
    options.useCache && !finished.ran
      ? await findImage(definition.name, await records.get('image', key), build.layout)
      : undefined;
  if (known) {
    say(build.emit, 'info', `found cached layer ${definition.name}`, definition.name);
    return known;
  }
  await build.workshop();
  const { base: baseLayers, applied } = await stack.parts();
  const labels = Object.assign({}, ...done.map(entry => entry.record.labels ?? {})) as Record<string, string>;
  const steps: EmittedStep[] = done
    .filter(entry => entry.step.kind !== 'labels')
    .map(({ step, record }) => ({ layer: record.layer, created: record.created, createdBy: `stk ${step.label}` }));
  const image = {
    name: definition.name,
    platform,
    base: base.config,
    baseLayers,
    applied: applied.layers,
    steps,
    config: imageSettings(base.config?.config, definition.config, labels),
    annotations: { ...build.provenance.annotations, ...stackAnnotations(stack, applied), ...definition.annotations },
    created: createdTime(options, done),
  };
  const { emitImage } = await import('./emit-image.ts');
  const manifests: Descriptor[] = [];
  for (const type of options.layerTypes) manifests.push(await emitImage(image, type, build, build.signal));
  const layers = [
    ...baseLayers,
    ...applied.layers.map(({ layer }) => layer),
    ...done.flatMap(({ record }) => (record.layer ? [{ squashfs: record.layer }] : [])),
  ];
  const record: ImageRecord = { manifests, layers, merged: applied.settled, remarks: applied.remarks };
  await records.put('image', key, record as never);
  const found = await findImage(definition.name, record, build.layout);
  if (!found) throw new Error(`image ${definition.name} was written but cannot be read back`);
  return { ...found, cached: false };
}

/** What the image stands on, now that the layers of what it applies are known. */
function stackAnnotations({ annotations }: ImageStack, { entries }: AppliedLayers): Readonly<Record<string, string>> {
  return entries.length === 0 ? annotations : { ...annotations, [APPLY_LIST]: formatAppliedEntries(entries) };
}

/** The epoch where one is given, else when the last step was done: the same inputs give the same bytes again. */
function createdTime(options: BuildOptions, done: Finished['done']): string {
  if (options.epochSeconds !== undefined) return new Date(options.epochSeconds * 1000).toISOString();
  return done.at(-1)?.record.created ?? new Date().toISOString();
}
