import path from 'node:path';
import { AsyncScope } from '../core/async-scope.ts';
import { StkError, errnoOf, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, readdir, rmdir, stat, unlink } from '../host/files.ts';
import { makeLockedDir, sweepUnlocked } from '../host/locked-dir.ts';
import { startContainerProcess, type ContainerProcess } from '../host/tools/container-process.ts';
import { removeTree } from '../host/tools/copy.ts';
import { takeUsualUmask } from '../host/usual-settings.ts';
import { findProgramFiles } from '../host/tools/program-files.ts';
import { readLayeredImage } from '../mount/image-layers.ts';
import { mountImage, type Mounted, type MountRequest } from '../mount/mount-image.ts';
import { umountImage } from '../mount/umount-image.ts';
import type { UpperWish } from '../mount/writable-upper.ts';
import { LowerView } from '../sandbox/lower-view.ts';
import { sandboxOptions, type StepMount } from '../sandbox/run-step.ts';
import { CONTAINER_CAPABILITIES } from '../sandbox/container-capabilities.ts';
import { seccompFilter } from '../sandbox/seccomp-filter.ts';
import { openBundleSource, type BundleSource } from './bundle-source.ts';
import { planStart, type StartPlan } from './become-user.ts';
import { findHome, findUser } from './bundle-user.ts';
import { forgetEmptyEtc, lentPlaces, networkFiles } from './network-files.ts';
import { placeMounts, type HostMount } from './place-mounts.ts';
import { containerCommand, containerEnvironment, stopSignal, type RunSettings } from './run-settings.ts';
import { MOUNT_POINTS, volumePaths } from './runtime-spec-mounts.ts';
import { workingDirectory as imageDirectory } from './runtime-spec.ts';

export interface RunRequest extends Omit<MountRequest, 'image' | 'target' | 'upper' | 'skeleton' | 'covers' | 'home'> {
  /** Where mounts are remembered; the container's own directory where `undefined`, in a mount namespace that ends with us. */
  readonly home: AbsPath | undefined;
  /** Parent of the directories of running containers. */
  readonly directory: AbsPath;
  readonly settings: RunSettings;
  readonly mounts: readonly HostMount[];
  /** Places in the container that begin empty, in memory. */
  readonly tmpfs: readonly string[];
  readonly network: 'host' | 'none';
  readonly readOnly: boolean;
  /** What is written is kept here. */
  readonly upper: AbsPath | undefined;
  readonly rootless: boolean;
  readonly stdin: boolean;
  /** Fires where the command is to end at once, whatever it does with the signals that it got. */
  readonly insist?: AbortSignal | undefined;
  readonly onMounted?: (mounted: Mounted) => void;
  /** Called for what a killed run left that cannot be cleared away now. */
  readonly onLeftover?: (directory: AbsPath, error: unknown) => void;
}

const PREFIX = 'run';
/** How long a container may take to end when it is asked to. */
const GRACE_MS = 10_000;

/**
 * Runs an image's command in the foreground, with a writable layer that goes with it unless `upper` keeps it. Returns the
 * command's exit status, 126 where it cannot be executed, 127 where it does not exist, 128 + n where a signal ended it. A
 * signal that aborts the request is passed on to the command.
 */
export async function runContainer(request: RunRequest): Promise<number> {
  const { layout, signal } = request;
  takeUsualUmask();
  await using scope = new AsyncScope();
  const image = await readLayeredImage(request);
  const openSource = async () => scope.use(await openBundleSource(layout, image, request));
  const [directory, source] = await together(openDirectory(request, scope), openSource());
  const home = request.home ?? joinInside(directory, 'state');
  const { settings } = request;
  const accounts = await source.accountFiles();
  const user = findUser(settings.user ?? source.config.config?.User ?? '', accounts);
  const environment = containerEnvironment(source.config, settings, findHome(user.uid, accounts));
  const command = containerCommand(source.config, settings);
  const workingDirectory = settings.workingDirectory ?? imageDirectory(source.config);
  const volumes = volumePaths(source.config).filter(volume => !request.mounts.some(({ target }) => target === volume));
  const wanted = await wantedPlaces(request, workingDirectory, volumes);
  const target = joinInside(directory, 'root');
  await mkdir(target);
  const { upper: kept, ...mount } = request;
  const upper: UpperWish = kept ? { directory: kept } : { scratchBelow: directory };
  if (kept) scope.defer(await forgetEmptyEtc(kept));
  const skeleton = await missingPlaces(source, image.name, wanted);
  const covers = (await mapLimited(lentPlaces(request), 2, place => source.cover(place), signal)).flatMap(
    cover => cover ?? [],
  );
  const mountRoot = async () => {
    const asked = { ...mount, image, home, target, skeleton, covers };
    const mounted = await mountImage(request.readOnly ? asked : { ...asked, upper });
    scope.defer(() => umountImage({ home, target }).then(() => undefined));
    request.onMounted?.(mounted);
  };
  const planning = planStart({ user, command, workingDirectory, environment }, name => findProgramFiles(name, signal));
  const [plan] = await together(planning, mountRoot());
  await using view = await LowerView.open([target], joinInside(directory, 'view'));
  const placed = await placeMounts({ ...request, volumes, view, directory });
  const files = await networkFiles({ ...request, hostname: settings.hostname, placed, directory, view, scope });
  const process = await start(request, { directory, target, plan, mounts: [...placed, ...files] });
  return await finish(process, stopSignal(source.config), request);
}

/** What two pieces of work give. Both have ended before a failure goes on. */
async function together<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return [await first, await second];
}

/** A directory of this run's own. What killed runs left is cleared away first; what cannot be is no reason not to run. */
async function openDirectory(request: RunRequest, scope: AsyncScope): Promise<AbsPath> {
  const { directory: parent, signal } = request;
  await sweepUnlocked(parent, [PREFIX], directory =>
    clearRun(directory, request).catch((error: unknown) => {
      if (signal?.aborted) throw error;
      request.onLeftover?.(directory, error);
    }),
  );
  const { path: directory } = scope.use(await makeLockedDir(parent, PREFIX, signal));
  scope.defer(() => removeRun(directory));
  return directory;
}

/** As a rule only files and mount points are left: no process is needed for these. */
async function removeRun(directory: AbsPath): Promise<void> {
  try {
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const file = joinInside(directory, entry.name);
      await (entry.isDirectory() ? rmdir(file) : unlink(file));
    }
    await rmdir(directory);
  } catch {
    await removeTree(directory);
  }
}

async function clearRun(directory: AbsPath, { home, signal }: Pick<RunRequest, 'home' | 'signal'>): Promise<void> {
  if (home !== undefined) {
    await umountImage({ home, target: joinInside(directory, 'root'), signal }).catch((error: unknown) => {
      if (!isStkError(error, 'not-found')) throw error;
    });
  }
  await removeTree(directory, signal);
}

interface Wanted {
  readonly path: string;
  readonly what: 'directory' | 'file';
}

/** Places of the container that have to be there before it starts. */
async function wantedPlaces(request: RunRequest, cwd: string, volumes: readonly string[]): Promise<readonly Wanted[]> {
  const wanted: Wanted[] = [...MOUNT_POINTS, '/etc', cwd, ...volumes, ...request.tmpfs].map(place => ({
    path: place,
    what: 'directory',
  }));
  for (const { source, target } of request.mounts) {
    const found = await stat(source).catch((cause: unknown) => {
      if (errnoOf(cause) !== 'ENOENT') throw cause;
      throw new StkError('not-found', `-v ${source} does not exist`, { cause, facts: { path: source } });
    });
    wanted.push({ path: target, what: found.isDirectory() ? 'directory' : 'file' });
  }
  const inside = (place: string) => MOUNT_POINTS.some(point => place.startsWith(`${point}/`));
  return wanted.filter(({ path: place }) => place !== '/' && !inside(place));
}

/** Directories that the image lacks, as canonical paths; of files to mount on, their directories. */
async function missingPlaces(
  source: BundleSource,
  name: string,
  wanted: readonly Wanted[],
): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (const { path: place, what } of wanted) {
    const directory = what === 'directory' ? place : path.posix.dirname(place);
    const found = await source.place(directory);
    if (found.type === 'missing') missing.add(found.path);
    if (found.type !== 'other') continue;
    throw new StkError('unsupported', `${name} has something at ${directory} that is no directory`, {
      hint: 'choose another place in the container, or mend the image',
      facts: { path: directory },
    });
  }
  return [...missing];
}

interface Ready {
  readonly directory: AbsPath;
  readonly target: AbsPath;
  readonly plan: StartPlan;
  readonly mounts: readonly StepMount[];
}

async function start(request: RunRequest, ready: Ready): Promise<ContainerProcess> {
  const { settings } = request;
  const { plan } = ready;
  const options = await sandboxOptions(ready.target, {
    ...plan.sandbox,
    mounts: ready.mounts,
    network: request.network,
    rootless: request.rootless,
    hostname: settings.hostname,
    ownSession: false,
  });
  return startContainerProcess({
    options: [...options, ...plan.options],
    command: plan.command,
    scratch: ready.directory,
    realRoot: !request.rootless,
    capabilities: Object.values(CONTAINER_CAPABILITIES),
    filter: seccompFilter(),
    stdin: request.stdin,
    tty: settings.tty,
  });
}

/** Passes on what asks us to end, SIGTERM as the image wants it, and insists after a while. */
async function finish(
  process: ContainerProcess,
  stop: NodeJS.Signals | number,
  { signal, insist }: Pick<RunRequest, 'signal' | 'insist'>,
): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const kill = () => void process.signal('SIGKILL');
  const passOn = () => {
    const name = /SIG(?:INT|HUP)/.exec(String(signal?.reason))?.[0] ?? stop;
    void process.signal(name as NodeJS.Signals | number);
    timer = setTimeout(kill, GRACE_MS);
  };
  if (signal?.aborted) passOn();
  else signal?.addEventListener('abort', passOn, { once: true });
  insist?.addEventListener('abort', kill, { once: true });
  try {
    return await process.done;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', passOn);
    insist?.removeEventListener('abort', kill);
  }
}
