import { say, type Emit } from '../core/events.ts';
import { throwIfAborted } from '../core/errors.ts';
import type { CacheKey } from '../core/digest.ts';
import { mapLimited } from '../core/limiter.ts';
import type { SingleFlight } from '../core/single-flight.ts';
import { packOptionsKey } from '../layer/pack-options.ts';
import type { Descriptor, ImageConfig, Platform } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { parseImageConfig, parseManifest } from '../oci/parse-manifest.ts';
import { contentKey } from '../plan/content-key.ts';
import { settingsKey } from '../recipe/definition.ts';
import type { ImageDefinition } from '../recipe/model.ts';
import { identifyBase, type BasePorts, type KnownBase } from '../sources/bases.ts';
import type { FileDigests } from '../sources/file-digests.ts';
import { identifyImport, type ImportPorts, type KnownImport } from '../sources/imports.ts';
import type { BuiltImage, StackLayer } from '../sources/ports.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { StepCaches } from '../sources/step-cache.ts';
import type { Workshop } from './do-step.ts';
import type { EmittedStep } from './emit-image.ts';
import { imageSettings } from './image-settings.ts';
import { imageSteps, stepKey, type ImageStep } from './image-steps.ts';
import type { BuildOptions } from './options.ts';
import type { Provenance } from './provenance.ts';
import { findStep, rememberStep, type StepRecord } from './step-record.ts';

/** What building one image takes. */
export interface ImageBuild {
  readonly definition: ImageDefinition;
  readonly options: BuildOptions;
  readonly provenance: Provenance;
  readonly layout: LayoutStore;
  readonly records: RecordCache;
  readonly files: FileDigests;
  readonly bases: BasePorts;
  readonly imports: ImportPorts;
  /** Called at the first thing that is not in the cache; may refuse by throwing. */
  readonly workshop: () => Promise<Workshop>;
  readonly stepCaches?: StepCaches | undefined;
  readonly emit: Emit;
  /** Steps that are being done, shared by all images of the build. */
  readonly steps: SingleFlight<CacheKey, StepOutcome>;
  readonly signal: AbortSignal;
}

/** A step's record, and whether it was done just now. */
export interface StepOutcome {
  readonly record: StepRecord;
  readonly fresh: boolean;
}

export interface ImageResult extends BuiltImage {
  /** Manifest per wanted layer type, the first one first. */
  readonly manifests: readonly Descriptor[];
  /** Whether no step ran and nothing was written. */
  readonly cached: boolean;
}

/** Builds one image: looks each step up, does those that are missing, writes manifest and configuration. Moves no tag. */
export async function buildImage(build: ImageBuild): Promise<ImageResult> {
  const { definition, options, signal } = build;
  const platform = platformOf(definition, options.hostPlatform);
  const packing = packOptionsKey(options.packing);
  const base = await identifyBase(definition.from, platform, packing, build.bases, signal);
  const imports = await mapLimited(
    definition.imports,
    4,
    (entry, inner) => identifyImport(entry, build.imports, inner),
    signal,
  );
  const steps = await imageSteps(definition, imports, options, build.files, signal);
  const done: { step: ImageStep; record: StepRecord }[] = [];
  let ran = false;
  for (const step of steps) {
    throwIfAborted(signal);
    const key = stepKey(
      step,
      base.key,
      done.map(entry => entry.record.layer?.digest ?? null),
      options,
      packing,
    );
    const below = done.map(entry => entry.record);
    // Two images may stand at the same step: it is done once, and both remember the same record.
    const { record, fresh } = await build.steps.run(key, async () => {
      const known = options.useCache ? await findKnown(build, key) : undefined;
      const record = known ?? (await runOne(build, base, imports, step, below));
      if (!known) await rememberStep(build.records, key, record);
      for (const cache of build.stepCaches?.to ?? []) cache.rememberStep(key, record, build.layout, signal);
      return { record, fresh: known === undefined };
    });
    ran ||= fresh;
    done.push({ step, record });
  }
  return finish(build, { platform, base, done, ran });
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

async function runOne(
  build: ImageBuild,
  base: KnownBase,
  imports: readonly KnownImport[],
  step: ImageStep,
  below: readonly StepRecord[],
): Promise<StepRecord> {
  const workshop = await build.workshop();
  const own = below.flatMap(record => (record.layer ? [{ squashfs: record.layer }] : []));
  const stack: StackLayer[] = [...(await base.layers(build.signal)), ...own];
  const { definition, options, layout, emit, signal } = build;
  const { doStep } = await import('./do-step.ts');
  return doStep({ definition, step, stack, imports, options, layout, workshop, emit, signal });
}

interface Finished {
  readonly platform: Platform;
  readonly base: KnownBase;
  readonly done: readonly { readonly step: ImageStep; readonly record: StepRecord }[];
  readonly ran: boolean;
}

/** An image whose inputs are all known is the one that was written before, byte for byte, if that is still there. */
async function finish(build: ImageBuild, finished: Finished): Promise<ImageResult> {
  const { definition, options, records } = build;
  const { base, done, platform } = finished;
  const key = contentKey('image', base.key, {
    digest: base.digest ?? null,
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
    options.useCache && !finished.ran ? await findImage(build, (await records.get('image', key)) ?? null) : undefined;
  if (known) {
    say(build.emit, 'info', `found cached layer ${definition.name}`, definition.name);
    return known;
  }
  await build.workshop();
  const baseLayers = await base.layers(build.signal);
  const labels = Object.assign({}, ...done.map(entry => entry.record.labels ?? {})) as Record<string, string>;
  const steps: EmittedStep[] = done
    .filter(entry => entry.step.kind !== 'labels')
    .map(({ step, record }) => ({ layer: record.layer, created: record.created, createdBy: `stk ${step.label}` }));
  const image = {
    platform,
    base: base.config,
    baseLayers,
    steps,
    config: imageSettings(base.config?.config, definition.config, labels),
    annotations: { ...build.provenance.annotations, ...baseAnnotations(base), ...definition.annotations },
    created: createdTime(options, done),
  };
  const { emitImage } = await import('./emit-image.ts');
  const manifests: Descriptor[] = [];
  for (const type of options.layerTypes)
    manifests.push(await emitImage(definition.name, image, type, build, build.signal));
  const layers = [...baseLayers, ...done.flatMap(({ record }) => (record.layer ? [{ squashfs: record.layer }] : []))];
  await records.put('image', key, { manifests, layers } as never);
  const found = await findImage(build, { manifests, layers });
  if (!found) throw new Error(`image ${definition.name} was written but cannot be read back`);
  return { ...found, cached: false, layers };
}

/** The epoch where one is given, else when the last step was done: the same inputs give the same bytes again. */
function createdTime(options: BuildOptions, done: Finished['done']): string {
  if (options.epochSeconds !== undefined) return new Date(options.epochSeconds * 1000).toISOString();
  return done.at(-1)?.record.created ?? new Date().toISOString();
}

/** The image of a record, if its manifests and every blob that they name are in the layout. */
async function findImage(build: ImageBuild, record: unknown): Promise<ImageResult | undefined> {
  if (typeof record !== 'object' || record === null || !('manifests' in record) || !('layers' in record))
    return undefined;
  const { manifests, layers } = record as { manifests: readonly Descriptor[]; layers: readonly StackLayer[] };
  const { layout } = build;
  const [first] = manifests;
  if (!first) return undefined;
  let config: ImageConfig | undefined;
  for (const descriptor of manifests) {
    if (!(await layout.hasBlob(descriptor))) return undefined;
    const parsed = parseManifest(await readAll(layout, descriptor), descriptor.digest);
    if (parsed.kind !== 'manifest') return undefined;
    for (const blob of [parsed.manifest.config, ...parsed.manifest.layers]) {
      if (!(await layout.hasBlob(blob))) return undefined;
    }
    config ??= parseImageConfig(await readAll(layout, parsed.manifest.config), parsed.manifest.config.digest);
  }
  for (const layer of layers) if (!(await layout.hasBlob(layer.squashfs))) return undefined;
  return { name: build.definition.name, manifest: first, manifests, config: config!, layers, cached: true };
}

async function readAll(layout: LayoutStore, descriptor: Descriptor): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Pre-defined annotations of image-spec, annotations.md. */
function baseAnnotations(base: KnownBase): Record<string, string> {
  if (base.digest === undefined || base.name === undefined) return {};
  return {
    'org.opencontainers.image.base.name': base.name,
    'org.opencontainers.image.base.digest': base.digest,
  };
}

function platformOf(definition: ImageDefinition, host: Platform): Platform {
  const [architecture = host.architecture, variant] = (definition.arch ?? host.architecture).split('/');
  return { os: definition.os ?? host.os, architecture, ...(variant === undefined ? {} : { variant }) };
}
