import type { Emit, TaskHandle } from '../core/events.ts';
import { say, withTask } from '../core/events.ts';
import { StkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { shownByteString } from '../core/host-text.ts';
import { formatBytes } from '../core/bytes.ts';
import { lstat, mkdir, readFile, readdir } from '../host/files.ts';
import { printable } from '../apply/printable.ts';
import { packEntries, type LayerEntry } from '../layer/pack-entries.ts';
import { blame } from '../layer/find-fault.ts';
import type { LayerBlob } from '../layer/layer-blob.ts';
import { packLayer } from '../layer/pack.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { ImageDefinition } from '../recipe/model.ts';
import type { LayerFile, MountedLayers } from '../sandbox/mounted-layers.ts';
import type { Emulators } from '../sandbox/emulators.ts';
import type { StepRoot } from '../sandbox/step-root.ts';
import type { KnownImport } from '../sources/imports.ts';
import { layerDescriptor } from '../sources/layer-descriptor.ts';
import { lowerStack } from '../sources/lower-stack.ts';
import { openLayerStack } from '../sources/layer-stack.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { OwnerMap } from '../squashfs/owner-map.ts';
import { openCacheDirs } from './cache-dirs.ts';
import { importEntries, overlayEntries } from './copy-entries.ts';
import { hasStableIds, scriptEnvironment, type ImageStep } from './image-steps.ts';
import type { BuildOptions } from './options.ts';
import { runScript, type OnFailure } from './run-script.ts';
import { shortLines } from './secret-mask.ts';
import { mountSecrets } from './secrets.ts';
import { stabilizeAccounts } from './stable-accounts.ts';
import type { StepRecord } from './step-record.ts';

/** What steps that really run need; it exists only inside the build's namespaces. */
export interface Workshop {
  readonly mounts: MountedLayers;
  readonly rootless: boolean;
  readonly emulators: Emulators;
  /** The build's own directory. */
  readonly directory: AbsPath;
  readonly cacheDirs: AbsPath;
  readonly onFailure: OnFailure | undefined;
  /** Done in place of the script of one image; ends the build by what it throws. */
  readonly instead?: { readonly image: string; readonly run: OnFailure };
}

export interface StepWork {
  readonly definition: ImageDefinition;
  /** Of the image. */
  readonly platform: Platform;
  readonly step: ImageStep;
  /** Everything below, bottom up. */
  readonly stack: readonly StackLayer[];
  readonly imports: readonly KnownImport[];
  readonly options: BuildOptions;
  readonly layout: LayoutStore;
  readonly workshop: Workshop;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

let nextStep = 0;

/** Does one step and puts its layer into the layout. */
export async function doStep(work: StepWork): Promise<StepRecord> {
  const created = new Date(
    work.options.epochSeconds === undefined ? Date.now() : work.options.epochSeconds * 1000,
  ).toISOString();
  switch (work.step.kind) {
    case 'overlay': {
      const entries = work.step.overlay ? await overlayEntries(work.step.overlay) : [];
      return { layer: await copyLayer(work, entries), created };
    }
    case 'import': {
      const entries: LayerEntry[] = [];
      for (const known of work.imports) {
        if (known.import.dest !== undefined) entries.push(...(await importEntries(known, work.signal, warn(work))));
      }
      return { layer: await copyLayer(work, entries), created };
    }
    case 'run':
      return { layer: await scriptLayer(work), created };
    case 'labels':
      return { layer: undefined, created, labels: await generatedLabels(work) };
  }
}

function warn({ emit, definition }: StepWork): (text: string) => void {
  return text => say(emit, 'warning', text, definition.name);
}

async function copyLayer(work: StepWork, entries: readonly LayerEntry[]): Promise<Descriptor | undefined> {
  if (entries.length === 0) return undefined;
  return withTask(
    work.emit,
    { group: work.definition.name, kind: 'copy', label: work.step.label },
    async task => {
      await using temporary = await work.layout.makeTemp();
      await using lower = lowerStack(work.layout, async () => work.stack);
      const output = joinInside(temporary.path, 'layer');
      const blob = await packEntries({
        entries,
        lower,
        output,
        options: work.options.packing,
        signal: work.signal,
        onProgress: done => task.progress(done),
        onWarning: warn(work),
        ...epoch(work),
      });
      return await adopt(work, output, blob, task);
    },
    work.signal,
  );
}

async function scriptLayer(work: StepWork): Promise<Descriptor | undefined> {
  await using run = await openScript(work, work.definition.run ?? '', undefined);
  return await withTask(
    work.emit,
    { group: work.definition.name, kind: 'pack', label: work.step.label },
    async task => {
      await using temporary = await work.layout.makeTemp();
      const output = joinInside(temporary.path, 'layer');
      const owners = await stableOwners(work, run.root.upper);
      const packed = await packLayer({
        owners,
        upper: run.root.upper,
        lower: run.root.lower,
        output,
        options: work.options.packing,
        exclude: ['stacker'],
        signal: work.signal,
        onProgress: done => task.progress(done),
        onWarning: warn(work),
        ...epoch(work),
      });
      if (!packed.empty) return await adopt(work, output, packed, task);
      task.finish('done', 'no change');
      return undefined;
    },
    work.signal,
  );
}

/** Gives new accounts the ids of their names, and says what their files become. */
async function stableOwners(
  { definition, options, layout, stack, emit, signal }: StepWork,
  upper: AbsPath,
): Promise<OwnerMap | undefined> {
  if (!hasStableIds(definition, options)) return undefined;
  const stable = await stabilizeAccounts({
    upper,
    lower: () => openLayerStack(layout, stack, signal),
    texts: [definition.run ?? '', definition.config.runtimeUser ?? '', ...Object.values(definition.buildEnv)],
    signal,
  });
  if (stable === undefined) return undefined;
  const accounts = stable.accounts.map(({ kind, name, to }) => `${kind} ${printable(shownByteString(name))} ${to}`);
  say(emit, 'info', `ids by name: ${accounts.join(', ')}`, definition.name);
  return stable.owners;
}

async function generatedLabels(work: StepWork): Promise<Record<string, string>> {
  const source = joinInside(work.workshop.directory, `labels-${++nextStep}`);
  await mkdir(source);
  await using _run = await openScript(work, work.definition.generateLabels ?? '', source);
  const labels: Record<string, string> = {};
  for (const name of (await readdir(source)).sort()) {
    const file = joinInside(source, name);
    const stat = await lstat(file);
    if (!stat.isFile() || stat.size > 1 << 20) {
      throw new StkError('invalid-input', `generate_labels: /stacker/oci-labels/${name} is no file of at most 1 MiB`);
    }
    labels[name] = (await readFile(file, 'utf8')).replace(/\n$/, '');
  }
  return labels;
}

/** Runs a script of the image on its stack; what it holds is given back when disposed. */
async function openScript(
  work: StepWork,
  script: string,
  labels: AbsPath | undefined,
): Promise<AsyncDisposable & { readonly root: StepRoot }> {
  const { definition, options, workshop, signal } = work;
  const directory = joinInside(workshop.directory, `step-${++nextStep}`);
  await mkdir(directory);
  const files = stackFiles(work);
  const layers = await workshop.mounts.mountStack(files, signal);
  await using secrets = await mountSecrets(definition.secrets, options.secrets, directory);
  for (const { id, value } of secrets.secrets) warnOfShort(work, id, value);
  await using cacheDirs = await openCacheDirs(definition.cacheDirs, workshop.cacheDirs, signal);
  const programs = await workshop.emulators.supportFor(work.platform, signal);
  const root = await withTask(
    work.emit,
    { group: definition.name, kind: 'run', label: work.step.label },
    task =>
      runScript({
        definition,
        script,
        layers,
        directory,
        env: scriptEnvironment(definition, options),
        imports: work.imports,
        secrets: secrets.secrets,
        cacheDirs: cacheDirs.directories,
        rootless: workshop.rootless,
        programs,
        onFailure: workshop.onFailure,
        instead: workshop.instead?.image === definition.name ? workshop.instead.run : undefined,
        task,
        onWarning: warn(work),
        signal,
        ...(labels === undefined ? {} : { writable: { source: labels, target: '/stacker/oci-labels' } }),
      }),
    signal,
  ).catch((error: unknown) => blame(error, files, signal));
  return { root, [Symbol.asyncDispose]: () => root[Symbol.asyncDispose]() };
}

function warnOfShort({ emit, definition }: StepWork, id: string, value: Buffer): void {
  const count = shortLines(value);
  if (count === 0) return;
  const which = count === 1 ? 'a line' : `${count} lines`;
  const text = `the secret ${id} has ${which} of fewer than four characters: output may show them`;
  say(emit, 'warning', text, definition.name);
}

function stackFiles({ stack, layout }: StepWork): readonly LayerFile[] {
  return stack.map(({ squashfs }) => ({ descriptor: squashfs, file: layout.blobPath(squashfs.digest) }));
}

async function adopt(work: StepWork, output: AbsPath, blob: LayerBlob, task: TaskHandle): Promise<Descriptor> {
  const descriptor = layerDescriptor(blob, work.options.packing, work.step.role);
  await work.layout.adoptBlob(output, descriptor);
  task.finish('done', formatBytes(blob.sizeBytes));
  return descriptor;
}

function epoch(work: StepWork): { readonly epochSeconds?: number } {
  const { epochSeconds } = work.options;
  return epochSeconds === undefined ? {} : { epochSeconds };
}
