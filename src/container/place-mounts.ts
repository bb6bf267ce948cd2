import path from 'node:path';
import { StkError, errnoOf } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { lstat, mkdir, stat, writeFile, type Stats } from '../host/files.ts';
import { copyTreeWithOwners } from '../host/tools/copy.ts';
import { isWithin } from '../mount/mount-target.ts';
import type { LowerView } from '../sandbox/lower-view.ts';
import type { StepMount } from '../sandbox/run-step.ts';
import { MOUNT_POINTS } from './runtime-spec-mounts.ts';

/** Something of the host's that a container sees. */
export interface HostMount {
  readonly source: AbsPath;
  /** Absolute in the container, as asked for. */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface MountsToPlace {
  /** The container's root, where nothing is mounted yet that only the container sees. */
  readonly view: LowerView;
  readonly mounts: readonly HostMount[];
  /** Places in the container that begin empty, in memory. */
  readonly tmpfs: readonly string[];
  /** Places that begin with what the image has there, absolute. */
  readonly volumes: readonly string[];
  /** Holds the volumes as long as the container runs. */
  readonly directory: AbsPath;
  readonly signal?: AbortSignal | undefined;
}

/** In /dev, but nothing that the sandbox itself counts on. */
const SHARED_MEMORY = '/dev/shm';
/** Volumes that are copied at once. */
const PARALLEL_COPIES = 2;

/**
 * What is mounted in a container, outer places before inner ones, targets free of symlinks. A volume gives way to what is
 * asked for at its place. The sandbox's own filesystems stay what they are: throws `unsupported` for places that lead into
 * them, and for an image with anything but a directory there.
 */
export async function placeMounts(request: MountsToPlace): Promise<readonly StepMount[]> {
  const { view, directory, signal } = request;
  await assertMountPoints(view);
  const asked: StepMount[] = [];
  for (const target of request.tmpfs) {
    asked.push({ type: 'tmpfs', target: await placeForDirectory(view, '--tmpfs', target), shared: true });
  }
  for (const mount of request.mounts) asked.push(await placeOnHost(view, mount));
  const places = new Set<string>();
  for (const volume of request.volumes) places.add(await placeForDirectory(view, 'the volume', volume));
  const free = [...places].filter(place => !asked.some(({ target }) => target === place));
  const copy = async (target: string, siblings: AbortSignal, index: number): Promise<StepMount> => {
    const source = joinInside(directory, `volume-${index}`);
    await copyVolume(joinInside(view.root, target.slice(1)), source, siblings);
    return { type: 'bind', source, target, readOnly: false };
  };
  const volumes = await mapLimited(free, PARALLEL_COPIES, copy, signal);
  const all = [...volumes, ...asked].toSorted((a, b) => depth(a.target) - depth(b.target));
  for (const [index, mount] of all.entries()) await assertNoLinks(mount, all.slice(0, index));
  return all;
}

/** bubblewrap follows links where it mounts, on the host as well. */
async function assertMountPoints(view: LowerView): Promise<void> {
  for (const point of MOUNT_POINTS) {
    const found = await lstatIfThere(joinInside(view.root, point.slice(1)));
    if (!found || found.isDirectory()) continue;
    throw new StkError('unsupported', `the image has something at ${point} that is no directory`, {
      hint: 'the image must be mended: a container needs a directory there',
      facts: { path: point },
    });
  }
}

async function placeForDirectory(view: LowerView, what: string, asked: string): Promise<string> {
  const { place, type } = await findPlace(view, what, asked);
  if (type !== 'other') return place;
  throw new StkError('unsupported', `${what} ${asked}: what the container has there is no directory`, {
    hint: 'choose another place in the container',
    facts: { path: asked },
  });
}

async function findPlace(
  view: LowerView,
  what: string,
  asked: string,
): Promise<{ readonly place: string; readonly type: 'directory' | 'other' | undefined }> {
  // What the image has there is hidden.
  if (isWithin(asked, SHARED_MEMORY)) return { place: asked, type: 'directory' };
  const found = await view.resolve(asked);
  const place = `/${found.path}`;
  const isOwn = MOUNT_POINTS.some(point => isWithin(place, point)) && !isWithin(place, SHARED_MEMORY);
  if (place !== '/' && !isOwn) return { place, type: found.type };
  throw new StkError('unsupported', `${what} ${asked}: nothing can be mounted on ${place} of a container`, {
    hint: place === asked ? 'choose another place' : `the image leads there from ${asked}; choose another place`,
    facts: { path: asked, place },
  });
}

async function placeOnHost(view: LowerView, { source, target, readOnly }: HostMount): Promise<StepMount> {
  const file = !(await stat(source)).isDirectory();
  const place = file ? await placeForFile(view, target) : await placeForDirectory(view, '-v', target);
  return { type: 'bind', source, target: place, readOnly, file };
}

/** Makes an empty file to mount on where there is none. */
async function placeForFile(view: LowerView, target: string): Promise<string> {
  const { place, type } = await findPlace(view, '-v', target);
  if (isWithin(place, SHARED_MEMORY)) return place;
  if (type === 'directory') {
    throw new StkError('usage', `${target} is a directory in the image, and what is to be mounted there is none`);
  }
  if (type === undefined) {
    await writeFile(joinInside(view.root, place.slice(1)), '', { flag: 'wx' }).catch((cause: unknown) => {
      throw new StkError('unsupported', `the container has no ${target} to mount on`, {
        cause,
        hint: 'mount on a directory or a file that the image has, or leave --read-only out',
      });
    });
  }
  return place;
}

/** A volume begins with what the image has there, and is no part of the container's own layer. */
async function copyVolume(from: AbsPath, to: AbsPath, signal: AbortSignal): Promise<void> {
  if (await lstatIfThere(from)) await copyTreeWithOwners(from, to, signal);
  else await mkdir(to, { mode: 0o755 });
}

/** Inside of another mount counts what that one has, and a container that wrote there may have left links. */
async function assertNoLinks(mount: StepMount, before: readonly StepMount[]): Promise<void> {
  const outer = before.findLast(({ target }) => target !== mount.target && isWithin(mount.target, target));
  if (outer?.type !== 'bind') return;
  let inside: string = outer.source;
  for (const part of mount.target.slice(outer.target.length + 1).split('/')) {
    inside = path.join(inside, part);
    const found = await lstatIfThere(inside);
    if (!found?.isSymbolicLink()) continue;
    throw new StkError('unsupported', `cannot mount on ${mount.target}: ${inside} is a symlink`, {
      hint: 'choose another place in the container',
      facts: { path: mount.target },
    });
  }
}

async function lstatIfThere(file: string): Promise<Stats | undefined> {
  return lstat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  });
}

function depth(place: string): number {
  return place.split('/').length;
}
