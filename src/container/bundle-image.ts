import { StkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir } from '../host/files.ts';
import { findTool } from '../host/find-tool.ts';
import { readPrivileges } from '../host/privileges.ts';
import { readSubordinateIds } from '../host/subordinate-ids.ts';
import { readLayeredImage } from '../mount/image-layers.ts';
import { mountImage, type Mounted, type MountRequest } from '../mount/mount-image.ts';
import { canonicalTarget } from '../mount/mount-target.ts';
import { umountImage } from '../mount/umount-image.ts';
import { bundleConfig, planBundleConfig, writeBundleConfig } from './bundle-config.ts';
import { openBundleSource, type BundleSource, type Place } from './bundle-source.ts';
import { findUser, type ProcessUser } from './bundle-user.ts';
import { mapToUser, type IdMappings } from './runtime-spec-ids.ts';
import { MOUNT_POINTS, volumeMount, volumePaths } from './runtime-spec-mounts.ts';
import { runtimeSpec, workingDirectory } from './runtime-spec.ts';

export interface BundleRequest extends Omit<MountRequest, 'target'> {
  /** The bundle; made where there is none. */
  readonly directory: AbsPath;
  /** Takes the place of the image's `Cmd`; empty for that. */
  readonly command: readonly string[];
  /** Takes the place of the image's `User`. */
  readonly user?: string | undefined;
  readonly hostname: string;
  readonly terminal: boolean;
}

export interface Bundled {
  readonly directory: AbsPath;
  readonly mounted: Mounted;
  /** `kept` where somebody has changed the file that an earlier call wrote for this image. */
  readonly config: 'written' | 'kept';
  readonly warnings: readonly string[];
}

type Directory = Extract<Place, { readonly type: 'directory' }>;

interface Places {
  readonly directories: ReadonlyMap<string, Directory>;
  /** Canonical paths in the image. */
  readonly missing: readonly string[];
}

/**
 * Makes an OCI runtime bundle (runtime-spec, bundle.md): `config.json`, and the image mounted on `rootfs`, to be taken
 * away by `umountImage`. The same bundle again is no error. Nothing stays mounted on failure. Throws what `mountImage`,
 * `findUser`, `runtimeSpec` and `planBundleConfig` throw; `unsupported` for an image that has something else where a runtime
 * needs a directory, and `missing-capability` where the image's user could not read its files.
 */
export async function bundleImage(request: BundleRequest): Promise<Bundled> {
  const { layout } = request;
  const image = await readLayeredImage(request);
  const directory = await canonicalTarget(request.directory);
  const mappings = await idMappings();
  await using source = await openBundleSource(layout, image, request);
  const user = await userOf(request, source, mappings);
  const volumes = volumePaths(source.config);
  const inside = (path: string) => MOUNT_POINTS.some(point => path.startsWith(`${point}/`));
  const wanted = [...MOUNT_POINTS, workingDirectory(source.config), ...volumes].filter(path => !inside(path));
  const places = await findPlaces(source, image.name, wanted);
  const closed = await closedVolumes(request, source, volumes, mappings);
  const spec = runtimeSpec({
    image: source.config,
    user,
    command: request.command,
    terminal: request.terminal,
    readonlyRoot: request.upper === undefined,
    hostname: request.hostname,
    volumes: volumes.map(destination => {
      const attributes = places.directories.get(destination);
      return volumeMount(destination, { attributes, mappings, filled: !closed.includes(destination) });
    }),
    mappings,
  });
  const config = bundleConfig(spec, image.digest);
  const plan = await planBundleConfig(directory, config);
  await mkdir(directory, { recursive: true });
  const target = joinInside(directory, 'rootfs');
  const mounted = await mountImage({ ...request, digest: image.digest, target, skeleton: places.missing });
  if (plan === 'write') {
    try {
      await writeBundleConfig(directory, config);
    } catch (error) {
      if (mounted.isNew) await umountImage({ home: request.home, target });
      throw error;
    }
  }
  const warnings = closed.map(path => `the volume ${path} begins empty: not all files there may be read by everybody`);
  return { directory, mounted, config: plan === 'write' ? 'written' : 'kept', warnings };
}

/** Nothing for root, be it of a user namespace: it has the right to everything that the runtime does. */
async function idMappings(): Promise<IdMappings | undefined> {
  const { uid, userName } = await readPrivileges();
  if (uid === 0) return undefined;
  const own = { uid, gid: process.getgid?.() ?? 0 };
  const mapper = await findTool('newuidmap');
  return mapToUser(own, mapper === undefined ? { uids: [], gids: [] } : await readSubordinateIds({ uid, userName }));
}

async function userOf(
  request: BundleRequest,
  source: BundleSource,
  mappings: IdMappings | undefined,
): Promise<ProcessUser> {
  const text = request.user ?? source.config.config?.User ?? '';
  const user = findUser(text, await source.accountFiles());
  if (mappings === undefined) return user;
  if (user.uid !== 0 || user.gid !== 0) {
    throw new StkError(
      'missing-capability',
      `the container would run as user ${user.uid}:${user.gid}, who cannot read an ordinary user's FUSE mount`,
      {
        hint:
          'make the bundle and run it inside one user namespace: ' +
          'unshare --user --map-auto --map-root-user --mount; or run it as its root: --user 0:0',
        facts: { uid: user.uid, gid: user.gid },
      },
    );
  }
  // Runtimes refuse supplementary groups where they were not started by root.
  return { ...user, additionalGids: [] };
}

/**
 * Volumes that cannot be filled: an ordinary user's container reads the image with that user's rights. What is mounted
 * for writing is shown as the user's own, all of it.
 */
async function closedVolumes(
  request: BundleRequest,
  source: BundleSource,
  volumes: readonly string[],
  mappings: IdMappings | undefined,
): Promise<readonly string[]> {
  if (mappings === undefined || request.upper) return [];
  const closed: string[] = [];
  for (const path of volumes) if (!(await source.isOpenToAll(path))) closed.push(path);
  return closed;
}

/**
 * The image's own directories where something is mounted or begins, and those that it lacks. Without, a runtime would make
 * them in the upper, and fail where the root is read-only. Throws `unsupported` where something else is in the place.
 */
async function findPlaces(source: BundleSource, name: string, paths: readonly string[]): Promise<Places> {
  const directories = new Map<string, Directory>();
  const missing: string[] = [];
  for (const path of paths) {
    const place = await source.place(path);
    if (place.type === 'directory') directories.set(path, place);
    else if (place.type === 'missing') missing.push(place.path);
    else {
      throw new StkError('unsupported', `${name} has something at ${path} that is no directory`, {
        hint: 'a runtime needs a directory there; the image must be mended',
        facts: { path },
      });
    }
  }
  return { directories, missing };
}
