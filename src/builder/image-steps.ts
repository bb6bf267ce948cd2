import { STABLE_IDS_VERSION } from '../apply/accounts/stable-ids.ts';
import { contentKey } from '../plan/content-key.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import type { CacheKey, Digest } from '../core/digest.ts';
import { digestOf } from '../core/digest.ts';
import type { ImageDefinition, OverlayDir } from '../recipe/model.ts';
import { DEFAULT_PASSTHROUGH, passEnvironment } from '../recipe/passthrough.ts';
import { stepEnvironment } from '../sandbox/step-environment.ts';
import type { FileDigests } from '../sources/file-digests.ts';
import type { KnownImport } from '../sources/imports.ts';
import type { LayerRole } from '../oci/layer-annotations.ts';
import { treeDigest } from '../sources/tree-digest.ts';
import type { BuildOptions } from './options.ts';

/** One step of an image's recipe, ready to be looked up or done. */
export interface ImageStep {
  readonly kind: 'overlay' | 'import' | 'run' | 'labels';
  readonly role: LayerRole;
  /** For history and progress. */
  readonly label: string;
  /** Everything that decides its result apart from the stack that it stands on. */
  readonly inputs: JsonValue;
  /** What an `overlay` step copies. */
  readonly overlay?: OverlayDir;
}

/** Variables that a step of this image sees. */
export function scriptEnvironment(definition: ImageDefinition, options: BuildOptions): Record<string, string> {
  const passed = passEnvironment(definition.buildEnvPassthrough, options.environment);
  return stepEnvironment(passed, definition.buildEnv, definition.name);
}

/** Whether accounts that a step makes get the ids of their names. */
export function hasStableIds(definition: ImageDefinition, options: BuildOptions): boolean {
  return definition.stableIds && options.stableIds;
}

/** What steps take from outside of the recipe. */
export interface StepInputs {
  readonly imports: readonly KnownImport[];
  readonly files: FileDigests;
}

/** The steps of an image in their order: `overlay_dirs`, imports with `dest`, `run`, `generate_labels`. */
export async function imageSteps(
  definition: ImageDefinition,
  options: BuildOptions,
  inputs: StepInputs,
  signal?: AbortSignal,
): Promise<readonly ImageStep[]> {
  const { imports, files } = inputs;
  const steps: ImageStep[] = [];
  for (const directory of definition.overlayDirs) {
    const tree = await treeDigest(directory.source, files, signal);
    const inputs = { tree: tree.digest, dest: directory.dest };
    steps.push({
      kind: 'overlay',
      role: 'overlay',
      label: `overlay_dirs ${directory.dest}`,
      inputs,
      overlay: directory,
    });
  }
  const copied = imports.filter(known => known.import.dest !== undefined);
  if (copied.length > 0) {
    const label = `imports ${copied.map(known => known.import.dest).join(' ')}`;
    steps.push({ kind: 'import', role: 'import', label, inputs: copied.map(copiedImport) });
  }
  const scriptInputs = await scriptKey(definition, options, inputs, signal);
  if (definition.run !== undefined) {
    const ids = hasStableIds(definition, options) ? STABLE_IDS_VERSION : null;
    const inputs = {
      script: definition.run,
      ...scriptInputs,
      stableIds: ids,
      user: ids === null ? null : (definition.config.runtimeUser ?? null),
    };
    steps.push({ kind: 'run', role: 'run', label: 'run', inputs });
  }
  if (definition.generateLabels !== undefined) {
    const inputs = { script: definition.generateLabels, ...scriptInputs };
    steps.push({ kind: 'labels', role: 'run', label: 'generate_labels', inputs });
  }
  return steps;
}

/** Key of a step on a given stack: the base's key and the layers that came after it. */
export function stepKey(
  step: ImageStep,
  below: { readonly base: Digest; readonly layers: readonly (Digest | null)[] },
  packing: JsonValue,
  epochSeconds: number | undefined,
): CacheKey {
  const stack = digestOf(JSON.stringify([below.base, ...below.layers]));
  return contentKey(step.kind, stack, { inputs: step.inputs, packing, epoch: epochSeconds ?? null });
}

function copiedImport(known: KnownImport): JsonValue {
  const { dest, uid, gid, trailingSlash } = known.import;
  return { key: known.key, dest, uid, gid, trailingSlash };
}

/** What a script sees besides its stack. The values of secrets and the content of cache directories never count. */
async function scriptKey(
  definition: ImageDefinition,
  options: BuildOptions,
  { imports, files }: StepInputs,
  signal: AbortSignal | undefined,
): Promise<{ readonly [key: string]: JsonValue }> {
  const binds: JsonValue[] = [];
  for (const bind of definition.binds) {
    const content = bind.cache === 'hash' ? (await treeDigest(bind.source, files, signal)).digest : bind.source;
    binds.push({ dest: bind.dest, content });
  }
  return {
    imports: imports.map(known => ({ key: known.key, at: known.import.mountPoint })),
    binds,
    environment: keyedEnvironment(definition, options),
    name: definition.name,
    secrets: definition.secrets.map(({ id, dest, env }) => ({ id, dest, env })),
    cacheDirs: definition.cacheDirs.map(({ path, id }) => ({ path, id })),
    network: definition.network,
    os: definition.os ?? null,
    arch: definition.arch ?? null,
  };
}

/** Proxies and the terminal of whoever builds do not decide the result; the epoch is in the key already. */
function keyedEnvironment(definition: ImageDefinition, options: BuildOptions): Record<string, string> {
  const passed = Object.entries(passEnvironment(definition.buildEnvPassthrough, options.environment));
  return {
    ...Object.fromEntries(passed.filter(([name]) => !DEFAULT_PASSTHROUGH.includes(name))),
    ...definition.buildEnv,
  };
}
