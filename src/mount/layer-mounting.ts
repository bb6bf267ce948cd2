import { createHash } from 'node:crypto';
import { digestHex } from '../core/digest.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, readdir, rmdir } from '../host/files.ts';
import { readMountTable } from '../host/mount-table.ts';
import { detachAll } from '../host/tools/mount.ts';
import type { AssessedLayer } from './assess-layer.ts';
import type { Method } from './choose-method.ts';
import type { ComparedFiles } from './compared-files.ts';
import type { InspectedLayer } from './inspect-layer.ts';
import {
  forgetServers,
  layerFile,
  newServerName,
  serverDirectories,
  startLayerServers,
  type LayerToServe,
} from './layer-servers.ts';
import type { LayerUse, MountRecord } from './mount-record.ts';
import { compareFirst, mountLayer } from './mount-layer.ts';
import { lazyServersStand, serversAnswer } from './server-answers.ts';
import type { MountState } from './state-directory.ts';
import { unmountPath, type UnmountRight } from './unmount-path.ts';
import type { VerifiedFiles } from './verified-files.ts';

/** Mount processes that run at once: each waits for the kernel more than it computes. */
const PARALLEL_MOUNTS = 4;

/** A mount that is being planned. */
export interface PlannedMount {
  readonly recordId: string;
  readonly layers: readonly InspectedLayer[];
  readonly method: Method;
}

/** What is mounted already. */
export interface StandingMounts {
  readonly records: readonly MountRecord[];
  /** Of those servers that show layers of the planned mount. */
  readonly deadServers: ReadonlySet<string>;
}

/**
 * Decides what each layer's mount is called. A layer that is mounted already the same way keeps its name, so that it is
 * mounted once however many images hold it. Without verification the file itself is part of the name: two layouts may
 * hold different bytes under one digest, and one image must not see the other's. Layers of dead file servers are mounted
 * again, on a new one. All that are new here share one server.
 */
export function planLayers(
  state: MountState,
  { recordId, layers, method }: PlannedMount,
  { records, deadServers }: StandingMounts,
): readonly LayerUse[] {
  const living = records.flatMap(record => record.layers).filter(use => !deadServers.has(use.served ?? ''));
  const known = new Map(living.map(use => [use.key, use]));
  const server = newServerName(recordId);
  return layers.map(layer => {
    const { digest } = layer.descriptor;
    const verity = layer.verityRoot === undefined ? 'none' : method.verity;
    const content = verity === 'none' ? layer.identity : layer.verityRoot!;
    const mark = createHash('sha256').update(`${digest} ${content}`).digest('hex').slice(0, 12);
    const key = `${digestHex(digest).slice(0, 16)}-${method.layers}-${verity}-${mark}`;
    const use = known.get(key);
    if (use) return use;
    if (verity === 'dm') return { digest, key, device: deviceName(state, key) };
    return { digest, key, ...(verity === 'user' ? { served: server } : {}) };
  });
}

/** Devices have one name space for the whole machine; the mount namespace's number keeps ours apart. */
function deviceName(state: MountState, key: string): string {
  return `stk-${state.directory.slice(state.directory.lastIndexOf('/') + 1)}-${key}`;
}

export interface LayerMounting {
  readonly state: MountState;
  readonly layers: readonly AssessedLayer[];
  readonly uses: readonly LayerUse[];
  readonly method: Method;
  readonly right: UnmountRight;
  readonly verifiedFiles: VerifiedFiles | undefined;
  readonly compared: ComparedFiles;
  readonly signal?: AbortSignal | undefined;
}

/** Mounts those of an image's layers that are not mounted yet. What was mounted stays on failure: the caller releases. */
export async function mountLayers(mounting: LayerMounting): Promise<void> {
  const { state, layers, uses, method, right, verifiedFiles, compared, signal } = mounting;
  const mounted = new Set((await readMountTable()).map(entry => entry.target));
  const isMounted = (use: LayerUse) => pathsOf(state, use).every(path => mounted.has(path));
  // The kernel always answers, and uses were planned on file servers that do.
  const answer = async (of: readonly LayerUse[]) => {
    if (method.layers === 'kernel') return true;
    const paths = of.flatMap(use => pathsOf(state, use));
    if (!layers.some(layer => layer.isFar)) return serversAnswer(paths, signal);
    return lazyServersStand(paths, serverDirectories(state, of), signal);
  };
  const allAnswer = await answer(uses.filter(isMounted));
  const distinct = new Map<string, LayerToServe>();
  for (const [index, use] of uses.entries()) distinct.set(use.key, { layer: layers[index]!, use });
  const wanted: LayerToServe[] = [];
  for (const one of distinct.values()) {
    if (!isMounted(one.use) || !(allAnswer || (await answer([one.use])))) wanted.push(one);
    // Whoever mounted it may not have asked for this.
    else await compareFirst({ layer: one.layer, method, compared, signal });
  }
  await startLayerServers(state, verifiedFiles, wanted, signal);
  await mapLimited(
    wanted,
    PARALLEL_MOUNTS,
    async (one, siblings) => {
      const target = joinInside(state.layers, one.use.key);
      await unmountPath(target, right, { lazy: true });
      await mkdir(target, { recursive: true, mode: 0o700 });
      const { layer, use } = one;
      const file = layerFile(state, one);
      await mountLayer({ layer, method, file, target, device: use.device, compared, signal: siblings });
    },
    signal,
  );
}

/** What has to answer for a layer to stand. */
function pathsOf(state: MountState, use: LayerUse): readonly AbsPath[] {
  return [joinInside(state.layers, use.key), ...serverDirectories(state, [use])];
}

/**
 * Unmounts layers and file servers that no record names, and removes their directories; returns their names. They are
 * detached lazily: fuse-overlayfs keeps its lower directories open for a moment after its own mount has gone.
 */
export async function releaseLayers(
  state: MountState,
  records: readonly MountRecord[],
  right: UnmountRight,
): Promise<readonly string[]> {
  const uses = records.flatMap(record => record.layers);
  const layers = await release(state.layers, new Set(uses.map(use => use.key)), right);
  // File servers end after the layers that read from them.
  const served = await release(state.served, new Set(uses.map(use => use.served)), right);
  await forgetServers(state, served);
  return [...layers, ...served];
}

async function release(
  directory: AbsPath,
  keep: ReadonlySet<string | undefined>,
  right: UnmountRight,
): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter(name => !keep.has(name));
  const mounted = new Set((await readMountTable()).map(entry => entry.target));
  const targets = names.map(name => joinInside(directory, name));
  // What fails here is tried again one by one below, where the failure is told.
  if (right === 'mounter') await detachAll(targets.filter(target => mounted.has(target))).catch(() => {});
  await mapLimited(targets, PARALLEL_MOUNTS, async target => {
    if (mounted.has(target)) await unmountPath(target, right, { lazy: true });
    await rmdir(target);
  });
  return names;
}

/** For each layer mount, how many image mounts use it. */
export function countUses(records: readonly MountRecord[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const record of records) {
    for (const key of new Set(record.layers.map(use => use.key))) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
