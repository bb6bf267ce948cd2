import path from 'node:path';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir } from '../host/files.ts';
import { mountAt, readMountTable } from '../host/mount-table.ts';
import { blame } from '../layer/find-fault.ts';
import { addGcRoot } from '../oci/gc-roots.ts';
import { assessLayer, type AssessedLayer } from './assess-layer.ts';
import { chooseMethod, type Engine, type Method, type VerifyMode } from './choose-method.ts';
import { ComparedFiles } from './compared-files.ts';
import { probeHost } from './host-abilities.ts';
import {
  imageLayers,
  readLayeredImage,
  type FarLayers,
  type ImageLayer,
  type LayeredImage,
  type WantedImage,
} from './image-layers.ts';
import { inspectLayer } from './inspect-layer.ts';
import { mountLayers, planLayers } from './layer-mounting.ts';
import { findDeadServers, serverLogs } from './layer-servers.ts';
import { withoutLacking } from './mount-layer.ts';
import { assertStackable, mountMerged } from './merged-view.ts';
import { readRecord, readRecords, recordFile, recordId, writeRecord, type MountRecord } from './mount-record.ts';
import { mountStatus } from './mount-status.ts';
import { canonicalTarget, checkTarget, isWithin } from './mount-target.ts';
import { lockState, openMountState, type MountState } from './state-directory.ts';
import { takeDown } from './umount-image.ts';
import type { VerifiedFiles } from './verified-files.ts';
import { assertAtRest, rememberBase } from './upper-base.ts';
import { findUpperUser } from './upper-users.ts';
import type { Cover } from './cover-files.ts';
import { makeUpper, planUpper, type UpperWish } from './writable-upper.ts';

export interface MountRequest extends WantedImage {
  /** Tells which layers the layout lacks, and where they are. */
  readonly far?: FarLayers | undefined;
  /** The image itself, for a caller that has read it. */
  readonly image?: LayeredImage | undefined;
  readonly target: AbsPath;
  /** See `stateHome`. */
  readonly home: AbsPath;
  readonly engine: Engine;
  readonly verify: VerifyMode;
  /** The caller's configuration trusts the image: the kernel may have it. */
  readonly trusted?: boolean;
  /** A signature that the caller demanded covers the manifest. */
  readonly signed?: boolean;
  /** Absent for a read-only mount. */
  readonly upper?: UpperWish;
  /** Directories that shall be there even if no layer has them, as canonical paths in the image: to mount on. */
  readonly skeleton?: readonly string[];
  /** Files on top of all layers, to mount on. */
  readonly covers?: readonly Cover[];
  readonly verifiedFiles?: VerifiedFiles | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called once if another mount is at work and there will be a wait. */
  readonly onWait?: () => void;
}

export interface Mounted {
  readonly record: MountRecord;
  /** `false` where the same image was mounted there already. */
  readonly isNew: boolean;
  readonly reason: string;
  readonly warnings: readonly string[];
  /** Where reads are logged that failed verification in user space; gone with the mount. */
  readonly logs: readonly AbsPath[];
}

/** Files that are looked at before mounting, at once. */
const PARALLEL_FILES = 8;

/**
 * Mounts an image of a layout on a directory, to last beyond this process. The same image again at the same place is no
 * error; on any failure everything that this call mounted is unmounted. Where an ability of the host fails that it seemed to
 * have, what `chooseMethod` says without it is tried. Throws what `imageLayers`, `inspectLayer`, `assessLayer`, `chooseMethod`
 * and `checkTarget` throw.
 */
export async function mountImage(request: MountRequest): Promise<Mounted> {
  const { layout, signal } = request;
  const image = request.image ?? (await readLayeredImage(request));
  const distinct = uniqueFromTop(imageLayers(layout, image, request.far));
  const { skeleton = [], covers = [] } = request;
  assertStackable(distinct.length + (skeleton.length > 0 ? 1 : 0) + (covers.length > 0 ? 1 : 0));
  const isSigned = () => request.signed === true;
  const look = async (layer: ImageLayer, siblings: AbortSignal) =>
    assessLayer(await inspectLayer(layer, siblings), isSigned);
  const layers = await mapLimited(distinct, PARALLEL_FILES, look, signal);
  const { engine, verify, trusted = false } = request;
  const target = await canonicalTarget(request.target);
  const state = await openMountState(request.home);
  await using _lock = await lockState(state, { signal, ...(request.onWait && { onWait: request.onWait }) });
  for (let host = await probeHost(request.verifiedFiles); ;) {
    const method = chooseMethod(host, { engine, verify, trusted, layers });
    const said = { reason: method.reason, warnings: method.warnings };
    const there = await alreadyThere(state, request, image, target);
    if (there) return { record: there, isNew: false, ...said, logs: serverLogs(state, there.layers) };
    const record = await begin(state, request, { image, layers, method, target });
    try {
      await claim(state, request, record, layers);
      await raise(state, request, record, { layers, method });
      return { record, isNew: true, ...said, logs: serverLogs(state, record.layers) };
    } catch (error) {
      await takeDown(state, record);
      if (!isStkError(error, 'missing-capability')) await blame(error, layers.filter(isHere), signal);
      host = withoutLacking(host, error);
    }
  }
}

function isHere(layer: ImageLayer): boolean {
  return layer.far === undefined;
}

/** Uppermost first. Of equal layers the uppermost decides all that those below could, and overlayfs takes none twice. */
function uniqueFromTop(layers: readonly ImageLayer[]): readonly ImageLayer[] {
  const unique = new Map<Digest, ImageLayer>();
  for (const layer of layers.toReversed()) {
    const { digest } = layer.descriptor;
    if (!unique.has(digest)) unique.set(digest, layer);
  }
  return [...unique.values()];
}

/**
 * The record of the same mount if it stands. What is left of one that does not stand is cleared away. Throws `conflict`
 * where another mount has the place.
 */
async function alreadyThere(
  state: MountState,
  request: MountRequest,
  image: LayeredImage,
  target: AbsPath,
): Promise<MountRecord | undefined> {
  const table = await readMountTable();
  const record = await readRecord(state, target);
  if (record) {
    const status = await mountStatus(state, record, table, request.signal);
    if (status === 'mounted') {
      if (record.digest === image.digest && sameOptions(record, request)) return record;
      const what = record.digest === image.digest ? 'the same image with other options' : record.image;
      throw new StkError('conflict', `${target} is taken: ${what} is mounted there`, {
        hint: `unmount it first: stk umount ${target}`,
        facts: { path: target, image: record.image, digest: record.digest },
      });
    }
    if (status !== 'foreign') await takeDown(state, record, request.signal);
  }
  const other = mountAt(await readMountTable(), target);
  if (other) {
    throw new StkError('conflict', `${target} is in use: ${other.type} is mounted there`, {
      hint: 'unmount it first, or name another directory',
      facts: { path: target },
    });
  }
  for (const outer of await readRecords(state)) {
    if (outer.digest !== image.digest || !isWithin(target, outer.target)) continue;
    throw new StkError('conflict', `cannot mount ${image.name} inside itself: it is mounted on ${outer.target}`, {
      hint: 'choose a directory elsewhere',
      facts: { path: target },
    });
  }
  return undefined;
}

/** Whoever requires verification must not be content with a mount that has none. */
function sameOptions(record: MountRecord, { upper, verify }: MountRequest): boolean {
  if (verify === 'require' && record.method.verity === 'none') return false;
  if (!upper || !record.upper) return upper === undefined && record.upper === undefined;
  if ('scratchBelow' in upper) return record.upper.scratch !== undefined;
  return record.upper.scratch === undefined && record.upper.upper === upper.directory;
}

/** Checks the target and writes the record: from here on, whatever happens can be seen and undone. */
async function begin(
  state: MountState,
  request: MountRequest,
  found: {
    readonly image: LayeredImage;
    readonly layers: readonly AssessedLayer[];
    readonly method: Method;
    readonly target: AbsPath;
  },
): Promise<MountRecord> {
  const { image, layers, method, target } = found;
  const id = recordId(target);
  const records = await readRecords(state);
  const wanted = new Set(layers.map(({ descriptor }) => descriptor.digest));
  const deadServers = await findDeadServers(state, { records, layers: wanted }, request.signal);
  const upper = request.upper && (await planUpper(request.upper, id));
  if (upper && upper.scratch === undefined) await assertUnused(state, request.home, upper.upper);
  const isThere = await checkTarget(target, [
    [path.dirname(state.directory) as AbsPath, 'the state directory'],
    [joinInside(request.layout.directory, 'blobs'), 'the layout'],
    ...(upper ? ([[upper.upper, 'the upper directory']] as const) : []),
  ]);
  const { layers: engine, overlay, verity } = method;
  const record: MountRecord = {
    version: 1,
    id,
    target,
    image: image.name,
    digest: image.digest,
    layout: request.layout.directory,
    layers: planLayers(state, { recordId: id, layers, method }, { records, deadServers }),
    method: { layers: engine, overlay, verity },
    ...(upper ? { upper } : {}),
    farLayers: layers.filter(layer => !isHere(layer)).length,
    madeTarget: !isThere,
    createdAt: new Date().toISOString(),
  };
  await writeRecord(state, record);
  return record;
}

/** Throws `conflict` where another mount writes into a directory, be it in another mount namespace that is seen. */
async function assertUnused(state: MountState, home: AbsPath, upper: AbsPath): Promise<void> {
  const user = await findUpperUser(home, upper);
  if (!user?.isSeen) return;
  const { target } = user.record;
  const where = user.state === state.directory ? '' : ', in the mount namespace where it was mounted';
  throw new StkError('conflict', `${upper} is in use as an upper directory by the mount on ${target}`, {
    hint: `unmount that first${where}: stk umount ${target}`,
    facts: { path: target },
  });
}

/**
 * Has the layout know that the image is needed. Where garbage is being collected at this moment, its end is waited for;
 * throws `not-found` where a blob went with it.
 */
async function claim(
  state: MountState,
  { layout, signal }: MountRequest,
  { id, digest }: MountRecord,
  layers: readonly AssessedLayer[],
): Promise<void> {
  const { collecting } = await addGcRoot(layout.directory, { digest, path: recordFile(state, id) });
  if (!collecting) return;
  await using _lock = await layout.lockBlobs('shared', signal ? { signal } : {});
  for (const { descriptor } of layers.filter(isHere)) {
    if (await layout.hasBlob(descriptor)) continue;
    throw new StkError('not-found', `layer ${descriptor.digest} was removed just now: garbage was being collected`, {
      hint: 'nothing named the image any more; fetch or build it again',
    });
  }
}

async function raise(
  state: MountState,
  request: MountRequest,
  record: MountRecord,
  { layers, method }: { readonly layers: readonly AssessedLayer[]; readonly method: Method },
): Promise<void> {
  const { signal, verifiedFiles } = request;
  if (record.madeTarget) await mkdir(record.target);
  const right = method.overlay === 'kernel' ? 'mounter' : 'fuse-user';
  const compared = new ComparedFiles(request.home);
  await mountLayers({ state, layers, uses: record.layers, method, right, verifiedFiles, compared, signal });
  const top = record.layers[0]!;
  if (record.upper) {
    const { layout, tag } = request;
    const isLasting = record.upper.scratch === undefined;
    if (isLasting) await assertAtRest(record.upper.upper);
    await makeUpper(record.upper, joinInside(state.layers, top.key));
    if (isLasting) {
      rememberBase(record.upper.upper, { layout: layout.directory, tag, digest: record.digest });
      await addGcRoot(layout.directory, { digest: record.digest, path: record.upper.upper });
    }
  }
  const ids = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const { skeleton = [], covers = [] } = request;
  await mountMerged(state, record, { skeleton, covers, squashTo: ids }, signal);
}
