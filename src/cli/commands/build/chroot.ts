import type { OnFailure } from '../../../builder/run-script.ts';
import { buildAll } from '../../../builder/build-all.ts';
import type { BuildOptions } from '../../../builder/options.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { say, type Emit } from '../../../core/events.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import type { ImageDefinition, Recipe } from '../../../recipe/model.ts';
import { FileDigests } from '../../../sources/file-digests.ts';
import { renderDiagnostic } from '../../render-error.ts';
import type { Session } from '../../session.ts';
import { openSessionUi } from './build.ts';
import type { BuildFlags } from './build-flags.ts';
import { buildOptions } from './build-options.ts';
import { loadBuildRecipes, type SubstitutionFlags } from './load-recipes.ts';
import { openWorkshop } from '../../../builder/open-workshop.ts';
import { runBeforeUser } from './run-before-user.ts';
import { sourcePorts } from './source-ports.ts';

export interface ChrootFlags extends SubstitutionFlags {
  readonly stackerFile: string;
  readonly secret: readonly string[];
}

/** Ends a build whose last step was somebody looking around. */
class LookedAround extends Error {
  readonly status: number;

  constructor(status: number) {
    super('looked around');
    this.status = status;
  }
}

/**
 * `stk chroot [NAME [COMMAND…]]`: builds the image if it has to be, and runs a shell or command on top of it with what its
 * own steps have: imports, binds, build environment, caches, secrets that are given. What it writes to the image is thrown
 * away. Returns the command's exit status.
 */
export async function runChroot(
  session: Session,
  name: string | undefined,
  command: readonly string[],
  flags: ChrootFlags,
): Promise<number> {
  const loaded = await loadBuildRecipes(session, [flags.stackerFile], flags);
  const options = await buildOptions(session, [], { ...BUILD, ...flags });
  const image = wantedImage(loaded.recipes, name);
  if (!session.inside) return session.enter();
  const visitor = visitorOf(image, options);
  const recipes = loaded.recipes.map(recipe => withVisitor(recipe, image, visitor));
  const layout = await LayoutStore.create(session.global.ociDir);
  const scope = new AsyncScope();
  await using ui = openSessionUi(session);
  for (const warning of loaded.warnings) {
    say(ui.emit, 'warning', renderDiagnostic(warning, loaded.sources, { color: false }));
  }
  const look: OnFailure = async (root, run, mask) => {
    const env = { ...run.env, STACKER_LAYER_NAME: image.name };
    const words = command.length === 1 ? ['/bin/sh', '-c', command[0]!] : command;
    const own = { ...run, env, command: words.length === 0 ? ['/bin/sh'] : words };
    throw new LookedAround(await runBeforeUser(root, own, mask, { session, ui }));
  };
  try {
    scope.use(await layout.lockBlobs('shared', { signal: session.signal }));
    const workshop = await openWorkshop({
      stkDir: session.global.stkDir,
      environment: session.environment,
      trust: () => undefined,
      scope,
    });
    const state = stateDirectories(session.global.stkDir);
    await buildAll({
      recipes,
      options: { ...options, names: [visitor.name] },
      layout,
      state,
      files: new FileDigests(state.fileDigests),
      ...sourcePorts(session),
      workshop: async () => ({ ...workshop, instead: { image: visitor.name, run: look } }),
      emit: without(visitor.name, ui.emit),
      signal: session.signal,
    });
  } catch (error) {
    if (error instanceof LookedAround) return error.status;
    throw error;
  } finally {
    await scope[Symbol.asyncDispose]();
  }
  throw new Error('a build that was to look around has ended without');
}

/** The rest of what a build takes: as `stk build` has it by default. */
const BUILD: BuildFlags = {
  cache: true,
  substitute: [],
  substituteFile: [],
  layerType: [],
  verity: true,
  stableIds: true,
  jobs: '2',
  secret: [],
  annotationsNamespace: 'io.stackeroci',
};

function wantedImage(recipes: readonly Recipe[], name: string | undefined): ImageDefinition {
  const images = recipes.flatMap(recipe => recipe.images);
  // The recipe that was asked for comes after its prerequisites.
  const found = name === undefined ? recipes.at(-1)?.images[0] : images.find(image => image.name === name);
  if (found) return found;
  const what = name === undefined ? 'has no image of its own' : `has no image ${name}`;
  throw new StkError('usage', `the recipe ${what}`, { hint: `it has: ${images.map(image => image.name).join(', ')}` });
}

/** An image on the wanted one, whose only step is the visit. Its name cannot be that of an image. */
function visitorOf(image: ImageDefinition, { secrets }: BuildOptions): ImageDefinition {
  return {
    ...image,
    name: `${image.name}:chroot`,
    from: { type: 'built', image: image.name, span: image.span },
    apply: [],
    overlayDirs: [],
    imports: image.imports.map(entry => ({ ...entry, dest: undefined })),
    secrets: image.secrets.filter(({ id }) => secrets.has(id)),
    run: 'stk chroot',
    generateLabels: undefined,
    buildOnly: true,
  };
}

function withVisitor(recipe: Recipe, image: ImageDefinition, visitor: ImageDefinition): Recipe {
  return recipe.images.includes(image) ? { ...recipe, images: [...recipe.images, visitor] } : recipe;
}

/** What is built for the visit is shown; the visit itself is no work. */
function without(name: string, emit: Emit): Emit {
  return event => {
    if ('image' in event && event.image === name) return;
    if ('group' in event && event.group === name) return;
    if (event.type === 'build-started') emit({ ...event, images: event.images.filter(image => image !== name) });
    else emit(event);
  };
}
