import path from 'node:path';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError, isStkError } from '../../../core/errors.ts';
import { say, type Emit, type StkEvent } from '../../../core/events.ts';
import { absPath, type AbsPath } from '../../../core/paths.ts';
import type { BuildResult } from '../../../builder/build-all.ts';
import { buildPlatforms } from '../../../builder/build-platforms.ts';
import type { Workshop } from '../../../builder/do-step.ts';
import { imageGraph } from '../../../builder/image-graph.ts';
import { writeFile } from '../../../host/files.ts';
import { takeUsualUmask } from '../../../host/usual-settings.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { topologicalOrder } from '../../../plan/run-graph.ts';
import type { Recipe } from '../../../recipe/model.ts';
import { FileDigests } from '../../../sources/file-digests.ts';
import type { StepCaches } from '../../../sources/step-cache.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { openUi, type Ui } from '../../ui/open-ui.ts';
import type { BuildFlags } from './build-flags.ts';
import { attachAndSign } from './attach-and-sign.ts';
import { buildOptions } from './build-options.ts';
import { loadBuildRecipes } from './load-recipes.ts';
import type { Vouched } from '../../../stores/base-stores.ts';
import { sourcePorts } from './source-ports.ts';
import { platformRecipes, type RecipesWish } from './platform-recipes.ts';
import type { SignatureFlags } from '../signature/require-signature.ts';
import { renderDiagnostic } from '../../render-error.ts';

/** Thrown by the first look, outside of the namespaces, at the first thing that is not in the cache. */
class WorkNeeded extends Error {}

/** `stk build`: prints tags and digests of what was built; returns the exit status. */
export async function runBuild(
  session: Session,
  files: readonly string[],
  names: readonly string[],
  flags: BuildFlags,
): Promise<number> {
  const loaded = await loadBuildRecipes(session, files, flags);
  const options = await buildOptions(session, names, flags);
  const wish = { files, flags, recipes: loaded.recipes, options };
  if (flags.orderOnly) {
    const wanted = { names, layerTypes: options.layerTypes, layout: session.global.ociDir };
    const graph = await imageGraph(loaded.recipes, wanted);
    if (session.global.debug) reportRecipeOrder(session, loaded.recipes);
    for (const name of topologicalOrder(graph)) session.stdout.write(`${name}\n`);
    return 0;
  }
  if (!session.inside) {
    const shares = (flags.cacheTo ?? []).length > 0;
    const quick = shares ? undefined : await tryFromCache(session, wish, flags);
    if (quick === undefined) return session.enter();
    await attachAndSign(session, quick, flags);
    await report(session, quick, flags);
    return 0;
  }
  // An unchanged build ends above, and loads nothing of this.
  const { holdCaches } = await import('../cache/hold-caches.ts');
  await holdCaches(session);
  await using ui = openSessionUi(session);
  for (const warning of loaded.warnings) {
    say(ui.emit, 'warning', renderDiagnostic(warning, loaded.sources, { color: false }));
  }
  const { openWorkshop } = await import('../../../builder/open-workshop.ts');
  const { failureHook } = await import('./run-before-user.ts');
  const { HistoryRecorder } = await import('../../../builder/build-history.ts');
  const scope = new AsyncScope();
  let workshop: Promise<Workshop> | undefined;
  const layout = await LayoutStore.create(session.global.ociDir);
  takeUsualUmask();
  const history = await HistoryRecorder.open(stateDirectories(session.global.stkDir).history);
  let results: readonly BuildResult[];
  try {
    scope.use(await layout.lockBlobs('shared', { signal: session.signal }));
    const trust: Vouched = new Map();
    const open = () =>
      (workshop ??= openWorkshop({
        stkDir: session.global.stkDir,
        environment: session.environment,
        kernel: flags.kernel,
        trust: digest => trust.get(digest),
        onFailure: failureHook(flags, { session, ui }),
        scope,
      }));
    const stepCaches = await stepCachesOf(session, flags, scope, ui.emit);
    results = await build({
      session,
      wish,
      layout,
      workshop: open,
      emit: history.watch(ui.emit),
      stepCaches,
      flags,
      trust,
    });
    await attachAndSign(session, results, flags);
  } finally {
    await scope[Symbol.asyncDispose]();
    await history.close();
  }
  await report(session, results, flags);
  return 0;
}

/** Recipes in their order with what each one requires, in stacker's words, which programs read that schedule builds. */
function reportRecipeOrder(session: Session, recipes: readonly Recipe[]): void {
  for (const [index, { file, prerequisites }] of recipes.entries()) {
    session.stderr.write(`${index} build ${file}: requires: [${prerequisites.join(' ')}]\n`);
  }
}

/**
 * An unchanged build needs no namespaces, no locks and writes nothing: this looks whether everything is in the cache.
 * What it would have shown is held back, and thrown away with the attempt if there is work to do.
 */
async function tryFromCache(
  session: Session,
  wish: RecipesWish,
  flags: BuildFlags,
): Promise<readonly BuildResult[] | undefined> {
  if (!wish.options.useCache) return undefined;
  const events: StkEvent[] = [];
  try {
    const layout = await LayoutStore.open(session.global.ociDir);
    const refuse = () => Promise.reject(new WorkNeeded());
    const results = await build({
      session,
      wish,
      layout,
      workshop: refuse,
      emit: event => events.push(event),
      flags,
    });
    await using ui = openSessionUi(session);
    for (const event of events) ui.emit(event);
    return results;
  } catch (error) {
    if (error instanceof WorkNeeded || isStkError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** What the last build made of recipes, if nothing has changed since: runs no step. */
export async function findUpToDate(session: Session, wish: RecipesWish): Promise<readonly BuildResult[] | undefined> {
  const layout = await LayoutStore.open(session.global.ociDir);
  try {
    const refuse = () => Promise.reject(new WorkNeeded());
    // What it consists of was demanded to be signed when it was built.
    return await build({ session, wish, layout, workshop: refuse, emit: () => {}, flags: {} });
  } catch (error) {
    if (error instanceof WorkNeeded) return undefined;
    throw error;
  }
}

interface BuildParts {
  readonly session: Session;
  readonly wish: RecipesWish;
  readonly layout: LayoutStore;
  readonly workshop: () => Promise<Workshop>;
  readonly emit: Emit;
  readonly stepCaches?: StepCaches | undefined;
  readonly flags: SignatureFlags;
  /** Receives layers that the kernel may have though they were not packed here. */
  readonly trust?: Vouched;
}

async function build(parts: BuildParts): Promise<readonly BuildResult[]> {
  const { session, wish, layout, workshop, emit, stepCaches, flags, trust } = parts;
  const { options } = wish;
  const state = stateDirectories(session.global.stkDir);
  const files = new FileDigests(state.fileDigests);
  const results = await buildPlatforms({
    ...platformRecipes(session, wish),
    options,
    layout,
    state,
    files,
    ...sourcePorts(session, flags, trust),
    workshop,
    stepCaches,
    emit,
    signal: session.signal,
  });
  await files.save();
  return results;
}

async function stepCachesOf(
  session: Session,
  flags: BuildFlags,
  scope: AsyncScope,
  emit: Emit,
): Promise<StepCaches | undefined> {
  if ((flags.cacheFrom ?? []).length + (flags.cacheTo ?? []).length === 0) return undefined;
  const { openStepCaches } = await import('./publish-caches.ts');
  return openStepCaches(session, flags, scope, emit);
}

export function openSessionUi(session: Session): Ui & AsyncDisposable {
  const { progress, debug, logFile } = session.global;
  const { TERM, CI } = session.environment;
  const ui = openUi({
    mode: progress,
    stderr: session.stderr,
    color: session.color,
    debug,
    environment: { TERM, CI },
    ...(logFile === undefined ? {} : { logFile }),
  });
  session.view.stepOutputShown = ui.showsStepOutput;
  session.view.emit = ui.emit;
  const close = async () => {
    session.view.emit = undefined;
    await ui.close();
  };
  return { ...ui, close, [Symbol.asyncDispose]: close };
}

/** Results on stdout: one line per tag; and the metadata file, where one is wanted. */
async function report(session: Session, results: readonly BuildResult[], flags: BuildFlags): Promise<void> {
  for (const result of results) {
    for (const { tag, manifest } of result.tags) session.stdout.write(`${tag} ${manifest.digest}\n`);
  }
  if (flags.metadataFile === undefined) return;
  const file = absPath(flags.metadataFile, session.workingDirectory);
  const images = results.map(({ platform: _platform, manifests: _manifests, ...image }) => image);
  const directory = session.global.ociDir;
  await writeFile(file, `${jsonText({ layout: directory, images }, 2)}\n`).catch((cause: unknown) => {
    throw new StkError('storage', `cannot write ${file}`, { cause });
  });
}

/** The recipes below a directory. */
function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new StkError('usage', `-p ${text}: no regular expression`, { cause, hint: "such as '\\.stacker\\.yaml$'" });
  }
}

/** Recipes below a directory. Throws `usage` for a bad pattern, `not-found` for none. */
export async function findBuildFiles(
  session: Session,
  flags: { readonly searchDir: string; readonly stackerFilePattern: string },
): Promise<readonly AbsPath[]> {
  const { findRecipes } = await import('../../../recipe/find.ts');
  const directory = absPath(flags.searchDir, session.workingDirectory);
  const found = await findRecipes(directory, { pattern: parsePattern(flags.stackerFilePattern) });
  if (found.length > 0) return found;
  throw new StkError('not-found', `no recipe below ${path.resolve(directory)}`, {
    hint: 'name the directory with -d, and the files with -p',
  });
}
