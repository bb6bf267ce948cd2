import { mkdir } from 'node:fs/promises';
import { StkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { findTool } from '../host/find-tool.ts';
import { readPrivileges } from '../host/privileges.ts';
import { readSubordinateIds } from '../host/subordinate-ids.ts';
import { readLayeredImage } from '../mount/image-layers.ts';
import { mountImage, type Mounted, type MountRequest } from '../mount/mount-image.ts';
import { canonicalTarget } from '../mount/mount-target.ts';
import { umountImage } from '../mount/umount-image.ts';
import { bundleConfig, planBundleConfig, writeBundleConfig } from './bundle-config.ts';
import { openBundleSource, type BundleSource } from './bundle-source.ts';
import { findUser, type ProcessUser } from './bundle-user.ts';
import { mapToUser, type IdMappings } from './runtime-spec-ids.ts';
import { MOUNT_POINTS, volumeMount, volumePaths, type SpecMount } from './runtime-spec-mounts.ts';
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
}

/**
 * Makes an OCI runtime bundle (runtime-spec, bundle.md): `config.json`, and the image mounted on `rootfs`, to be taken
 * away by `umountImage`. The same bundle again is no error. Nothing stays mounted on failure. Throws what `mountImage`,
 * `findUser`, `runtimeSpec` and `planBundleConfig` throw; `unsupported` for a read-only root without the directories that
 * a runtime mounts on, and `missing-capability` where the image's user could not read its files.
 */
export async function bundleImage(request: BundleRequest): Promise<Bundled> {
  const { layout, signal } = request;
  const image = await readLayeredImage(layout, request.tag, request.platform, request.digest);
  const directory = await canonicalTarget(request.directory);
  const mappings = await idMappings();
  await using source = await openBundleSource(layout, image, signal);
  const user = await userOf(request, source, mappings);
  const volumes = volumePaths(source.config);
  if (!request.upper) await assertMountPoints(source, image.name, volumes);
  const spec = runtimeSpec({
    image: source.config,
    user,
    command: request.command,
    terminal: request.terminal,
    readonlyRoot: request.upper === undefined,
    hostname: request.hostname,
    volumes: await volumeMounts(source, volumes, mappings),
    mappings,
  });
  const config = bundleConfig(spec, image.digest);
  const plan = await planBundleConfig(directory, config);
  await mkdir(directory, { recursive: true });
  const target = joinInside(directory, 'rootfs');
  const mounted = await mountImage({ ...request, digest: image.digest, target });
  if (plan === 'write') {
    try {
      await writeBundleConfig(directory, config);
    } catch (error) {
      if (mounted.isNew) await umountImage({ home: request.home, target });
      throw error;
    }
  }
  return { directory, mounted, config: plan === 'write' ? 'written' : 'kept' };
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

/** A runtime makes what is missing, but not in a root that is read-only. */
async function assertMountPoints(source: BundleSource, name: string, volumes: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const path of [...MOUNT_POINTS, workingDirectory(source.config), ...volumes]) {
    if (MOUNT_POINTS.some(point => path.startsWith(`${point}/`))) continue;
    if ((await source.directory(path)) === undefined) missing.push(path);
  }
  if (missing.length === 0) return;
  throw new StkError('unsupported', `${name} lacks directories that a runtime needs: ${missing.join(', ')}`, {
    hint: 'a read-only root cannot be given any: add --rw, and the runtime makes them',
    facts: { missing },
  });
}

async function volumeMounts(
  source: BundleSource,
  paths: readonly string[],
  mappings: IdMappings | undefined,
): Promise<readonly SpecMount[]> {
  const mounts: SpecMount[] = [];
  for (const path of paths) mounts.push(volumeMount(path, await source.directory(path), mappings));
  return mounts;
}
