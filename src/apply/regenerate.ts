import { StkError } from '../core/errors.ts';
import { withTask, type Emit } from '../core/events.ts';
import { shownByteString } from '../core/host-text.ts';
import type { AbsPath } from '../core/paths.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { blame } from '../layer/find-fault.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import { VERITY_ROOT } from '../oci/layer-annotations.ts';
import type { Platform } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import type { Emulators } from '../sandbox/emulators.ts';
import type { LayerFile, MountedLayers } from '../sandbox/mounted-layers.ts';
import { fullDiskError } from '../sandbox/full-disk.ts';
import { runStep, sandboxMountPoints } from '../sandbox/run-step.ts';
import { openStepRoot } from '../sandbox/step-root.ts';
import type { MergedNode } from '../squashfs/layer-stack.ts';
import { writeMergeLayer } from './merge-layer.ts';
import type { MergeProblem } from './merge-problem.ts';
import type { MergeEntry, MergeResult } from './merge-result.ts';
import { readMadeFiles, type MadeFile } from './made-files.ts';

/** What running a program of an image takes; it exists only inside of namespaces. */
export interface RegeneratePlace {
  readonly mounts: MountedLayers;
  /** For what lives as long as the run, on a filesystem that can hold an upper directory. */
  readonly directory: AbsPath;
  readonly rootless: boolean;
  readonly emulators: Emulators;
}

export interface RegenerateRequest {
  /** What the image is for. */
  readonly platform: Platform;
  readonly problem: MergeProblem;
  /** Without conflicts. */
  readonly result: MergeResult;
  /** The plain stack, bottom up. */
  readonly layers: readonly LayerFile[];
  /** A file to be made: a layer of what the result has already. */
  readonly draft: AbsPath;
  readonly packing: PackOptions;
  readonly epochSeconds?: number | undefined;
  readonly place: RegeneratePlace;
  readonly emit: Emit;
  /** Of the task that is shown. */
  readonly group: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs the programs of the image that a merge asks for in the merged tree, without a network, and returns the result with
 * the files that they made. Throws `step-failed` where a program fails, `conflict` where it did not make what it should.
 */
export async function regenerate(request: RegenerateRequest): Promise<MergeResult> {
  const { problem, result, place, signal } = request;
  const commands = result.regenerate;
  const label = commands.map(({ command }) => command[0]).join(', ');
  const files = await withTask(
    request.emit,
    { group: request.group, kind: 'run', label },
    async task => {
      const layers = await place.mounts.mountStack([...request.layers, ...(await draftOf(request))], signal);
      await using directory = await makeTempDir(place.directory, 'regenerate');
      return await regenerateFiles({
        commands,
        layers,
        directory: directory.path,
        rootless: place.rootless,
        userNamespace: (await place.emulators.supportFor(request.platform, signal)).userNamespace,
        onOutput: (stream, line) => task.output(stream, [line]),
        signal,
      });
    },
    signal,
  ).catch((error: unknown) => blame(error, request.layers, signal));
  return withFiles(problem, result, files);
}

async function draftOf(request: RegenerateRequest): Promise<readonly LayerFile[]> {
  const { result, draft: output } = request;
  if (result.entries.length === 0) return [];
  const { digest, sizeBytes, verityRoot } = await writeMergeLayer({ ...request, output });
  const annotations = verityRoot === undefined ? {} : { [VERITY_ROOT]: verityRoot };
  const descriptor = { mediaType: MediaType.layerSquashfs, digest, size: sizeBytes, annotations };
  return [{ descriptor, file: output }];
}

interface Run {
  readonly commands: MergeResult['regenerate'];
  /** Mounted layers of the merged tree, uppermost first. */
  readonly layers: readonly AbsPath[];
  /** An empty directory. */
  readonly directory: AbsPath;
  readonly rootless: boolean;
  readonly userNamespace: number | undefined;
  readonly onOutput: (stream: 'stdout' | 'stderr', line: string) => void;
  readonly signal: AbortSignal | undefined;
}

async function regenerateFiles(request: Run): Promise<readonly MadeFile[]> {
  const { directory, layers, signal } = request;
  await using root = await openStepRoot({ layers, directory, mountPoints: sandboxMountPoints([]), signal });
  for (const { command } of request.commands) {
    const status = await runStep(root, {
      command,
      workingDirectory: '/',
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C' },
      mounts: [],
      network: 'none',
      rootless: request.rootless,
      userNamespace: request.userNamespace,
      hostname: 'stk',
      scratch: directory,
      stdio: 'capture',
      onOutput: request.onOutput,
      signal,
    });
    if (status === 0) continue;
    const what = `${command.join(' ')} failed in the merged tree with exit status ${status}`;
    const facts = { exitCode: status, command };
    const full = await fullDiskError({ directory, rootless: request.rootless, what, facts });
    if (full) throw full;
    throw new StkError('step-failed', what, {
      hint: 'settle the files that it makes with a rule: first or last under `conflicts`',
      facts,
    });
  }
  return await readMadeFiles(root.root, request.commands);
}

/** The entries of a result with files that were made anew among them. */
async function withFiles(problem: MergeProblem, result: MergeResult, files: readonly MadeFile[]): Promise<MergeResult> {
  const made = new Map<string, MergeEntry>();
  for (const { path: file, bytes, attributes } of files) {
    made.set(file, { type: 'merged', path: file, like: await someFile(problem, file), bytes, attributes });
  }
  const entries = [...result.entries.filter(entry => !made.has(entry.path)), ...made.values()];
  return { ...result, entries: entries.toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0)) };
}

/** A side's own file at the path: what is made anew was a file on at least one. */
async function someFile(problem: MergeProblem, file: string): Promise<{ side: number; node: MergedNode }> {
  for (const [side, { tree }] of problem.sides.entries()) {
    const node = await tree?.lookup(file);
    if (node?.inode.type === 'file') return { side, node };
  }
  throw new StkError('conflict', `no image has a file /${shownByteString(file)} to make anew`);
}
