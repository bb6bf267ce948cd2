import { randomBytes } from 'node:crypto';
import { digestHex, type Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, rm } from '../host/files.ts';
import { mountAt, readMountTable } from '../host/mount-table.ts';
import type { AssessedLayer } from './assess-layer.ts';
import type { LayerUse, MountRecord } from './mount-record.ts';
import { serversAnswer } from './server-answers.ts';
import type { MountState } from './state-directory.ts';
import type { VerifiedFiles } from './verified-files.ts';

/** A name for the file server of a mount: never one that was used before, whose dead mount others may still hold. */
export function newServerName(recordId: string): string {
  return `${recordId}-${randomBytes(4).toString('hex')}`;
}

/** Where the file servers of these layers write which reads failed. */
export function serverLogs(state: MountState, uses: readonly LayerUse[]): readonly AbsPath[] {
  return serverNames(uses).map(name => logFile(state, name));
}

/** Mount points of the file servers of these layers. */
export function serverDirectories(state: MountState, uses: readonly LayerUse[]): readonly AbsPath[] {
  return serverNames(uses).map(name => joinInside(state.served, name));
}

/**
 * Names of those file servers that show any of the layers according to the records, but that answer no more. Others are not
 * asked: whoever mounts would wait for a server that has nothing to do with it, and everybody else for the lock.
 */
export async function findDeadServers(
  state: MountState,
  { records, layers }: { readonly records: readonly MountRecord[]; readonly layers: ReadonlySet<Digest> },
  signal?: AbortSignal,
): Promise<ReadonlySet<string>> {
  const names = serverNames(records.flatMap(record => record.layers).filter(use => layers.has(use.digest)));
  const table = await readMountTable();
  const isMounted = (name: string) => mountAt(table, joinInside(state.served, name)) !== undefined;
  const dead = new Set(names.filter(name => !isMounted(name)));
  const standing = names.filter(isMounted);
  if (
    await serversAnswer(
      standing.map(name => joinInside(state.served, name)),
      signal,
    )
  )
    return dead;
  for (const name of standing) {
    if (!(await serversAnswer([joinInside(state.served, name)], signal))) dead.add(name);
  }
  return dead;
}

export interface LayerToServe {
  readonly layer: AssessedLayer;
  readonly use: LayerUse;
}

/** Starts the file servers of those layers that are verified in user space, where they do not run yet. */
export async function startLayerServers(
  state: MountState,
  verifiedFiles: VerifiedFiles | undefined,
  wanted: readonly LayerToServe[],
  signal?: AbortSignal,
): Promise<void> {
  const table = await readMountTable();
  for (const name of serverNames(wanted.map(({ use }) => use))) {
    const directory = joinInside(state.served, name);
    if (mountAt(table, directory)) continue;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const layers = wanted.filter(({ use }) => use.served === name).map(({ layer }) => toServe(layer));
    const files = { layers, directory, logFile: logFile(state, name), stateFile: stateFile(state, name) };
    await verifiedFiles!.serve(files, signal);
  }
}

/** The file that has a layer's bytes: a served one if the layer is verified in user space. */
export function layerFile(state: MountState, { layer, use }: LayerToServe): AbsPath {
  if (use.served === undefined) return layer.file;
  return joinInside(state.served, `${use.served}/${digestHex(use.digest)}`);
}

/** Removes what servers wrote that are gone. */
export async function forgetServers(state: MountState, names: readonly string[]): Promise<void> {
  for (const name of names) {
    for (const file of [logFile(state, name), stateFile(state, name)]) await rm(file, { force: true });
  }
}

function toServe({ descriptor, file, verityRoot, far }: AssessedLayer) {
  return { digest: descriptor.digest, file, sizeBytes: descriptor.size, verityRoot: verityRoot!, far: far?.place };
}

function serverNames(uses: readonly LayerUse[]): readonly string[] {
  return [...new Set(uses.flatMap(use => (use.served === undefined ? [] : [use.served])))];
}

function logFile(state: MountState, name: string): AbsPath {
  return joinInside(state.servers, `${name}.log`);
}

function stateFile(state: MountState, name: string): AbsPath {
  return joinInside(state.servers, `${name}.json`);
}
