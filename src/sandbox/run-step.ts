import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { startBwrap } from '../host/tools/bwrap.ts';
import { isStkError } from '../core/errors.ts';
import { CONTAINER_CAPABILITIES } from './container-capabilities.ts';
import { protectionOptions } from './protected-paths.ts';
import { seccompFilter } from './seccomp-filter.ts';
import type { StepRoot } from './step-root.ts';
import type { MountPoint } from './skeleton.ts';

/** Something of the host's that a step sees at a place of its image. */
export type StepMount =
  | {
      readonly type: 'bind';
      readonly source: AbsPath;
      readonly target: string;
      readonly readOnly: boolean;
      readonly file?: boolean;
    }
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      readonly readOnly?: boolean;
      /** Everybody may make files there, as in /tmp; otherwise root alone. */
      readonly shared?: boolean;
    };

export interface StepRun {
  readonly command: readonly string[];
  readonly workingDirectory: string;
  /** The whole environment of the step. */
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly StepMount[];
  readonly network: 'host' | 'none';
  /** Real root gets the usual container capabilities, root of a user namespace all of its namespace's. */
  readonly rootless: boolean;
  readonly hostname: string;
  /** See `ProgramSupport`. */
  readonly userNamespace?: number | undefined;
  /** Directory for short-lived private files. */
  readonly scratch: AbsPath;
  /**
   * `capture`: no input, output line by line. `inherit`: the caller's streams. `watch`: the caller's input, output line by
   * line. `terminal`: a terminal of its own below the caller's, what it shows to `onTerminal`.
   */
  readonly stdio: 'capture' | 'inherit' | 'watch' | 'terminal';
  readonly onOutput: (stream: 'stdout' | 'stderr', line: string) => void;
  readonly onTerminal?: (bytes: Uint8Array) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What the sandbox itself mounts; `openStepRoot` makes sure that each place exists. */
export function sandboxMountPoints(mounts: readonly StepMount[]): MountPoint[] {
  const own: MountPoint[] = ['/proc', '/dev', '/sys'].map(path => ({ path, type: 'directory' }));
  return [
    ...own,
    ...mounts
      .filter(mount => !isNested(mount, mounts))
      .map((mount): MountPoint => ({
        path: mount.target,
        type: mount.type === 'bind' && mount.file ? 'file' : 'directory',
      })),
  ];
}

/** Inside a tmpfs of the same step the sandbox makes the place itself. */
function isNested(mount: StepMount, mounts: readonly StepMount[]): boolean {
  return outerTmpfs(mount, mounts) !== undefined;
}

/** The innermost place in memory that a mount lies in; shared memory is one in every sandbox. */
function outerTmpfs({ target }: StepMount, mounts: readonly StepMount[]): string | undefined {
  const places = ['/dev/shm', ...mounts.flatMap(other => (other.type === 'tmpfs' ? [other.target] : []))];
  const outer = places.filter(place => target.startsWith(`${place}/`));
  return outer.toSorted((a, b) => b.length - a.length)[0];
}

/** The directories that such a place needs, from the outermost in. */
function madeParents(mount: StepMount, mounts: readonly StepMount[]): readonly string[] {
  const outer = outerTmpfs(mount, mounts);
  if (outer === undefined) return [];
  const between = path.posix.dirname(mount.target).slice(outer.length).split('/').slice(1);
  return between.map((_, index) => path.posix.join(outer, ...between.slice(0, index + 1)));
}

/**
 * Runs one command in a step's root: own pid, ipc and uts namespaces, no new privileges, dead with its parent.
 * @returns the exit status; 128 + n where a signal ended it
 */
export async function runStep(root: StepRoot, run: StepRun): Promise<number> {
  const ownSession = run.stdio === 'capture' || run.stdio === 'watch';
  const tool = await startBwrap({
    options: await bwrapOptions(root, { ...run, ownSession }),
    command: run.command,
    scratch: run.scratch,
    userNamespace: run.userNamespace,
    realRoot: !run.rootless,
    capabilities: Object.values(CONTAINER_CAPABILITIES),
    filter: seccompFilter(),
    stdio: run.stdio,
    signal: run.signal,
    onStdout: line => run.onOutput('stdout', line),
    onStderr: line => run.onOutput('stderr', line),
    ...(run.onTerminal ? { onTerminal: run.onTerminal } : {}),
  });
  try {
    await tool.done;
    return 0;
  } catch (error) {
    const status = isStkError(error, 'tool-failed', 'storage') ? error.facts['exitCode'] : undefined;
    if (typeof status === 'number') return status;
    throw error;
  }
}

/** What a sandbox is like, whatever runs in it. */
export type SandboxSettings = Pick<
  StepRun,
  'workingDirectory' | 'env' | 'mounts' | 'network' | 'rootless' | 'hostname'
> & {
  /** Cut off from the caller's terminal: nothing inside can put keys into it. */
  readonly ownSession: boolean;
  /**
   * Where the tree is to be seen in an otherwise empty root, for a program that is to begin outside of it; absent for the
   * tree as the root. `workingDirectory` is of that root, targets of mounts are of the tree.
   */
  readonly below?: string;
};

/**
 * bubblewrap's options for a root whose mount points are all there, /proc, /dev and /sys included, none of them a symlink;
 * targets of mounts are free of symlinks.
 */
export async function sandboxOptions(root: AbsPath, settings: SandboxSettings): Promise<string[]> {
  return bwrapOptions({ root, mountPoints: new Map() }, settings);
}

type MountedRoot = Pick<StepRoot, 'root' | 'mountPoints'>;

async function bwrapOptions(root: MountedRoot, run: SandboxSettings): Promise<string[]> {
  const { below = '' } = run;
  const options = ['--bind', root.root, below === '' ? '/' : below];
  options.push('--proc', `${below}/proc`, '--dev', `${below}/dev`, '--ro-bind', '/sys', `${below}/sys`);
  // bubblewrap's own is a directory that root alone may write to, which no shared memory of other users can be in.
  options.push(...tmpfsOptions(`${below}/dev/shm`, true));
  options.push(...(await protectionOptions(below)));
  options.push('--unshare-pid', '--unshare-ipc', '--unshare-uts', '--hostname', run.hostname);
  // The bound sysfs is the host's: it would go on listing the host's interfaces.
  if (run.network === 'none')
    options.push('--unshare-net', '--tmpfs', `${below}/sys/class/net`, '--remount-ro', `${below}/sys/class/net`);
  if (run.ownSession) options.push('--new-session');
  options.push('--cap-drop', 'ALL');
  for (const name of Object.keys(CONTAINER_CAPABILITIES)) options.push('--cap-add', name);
  const targetOf = (mount: StepMount) => `${below}${root.mountPoints.get(mount.target) ?? mount.target}`;
  for (const mount of run.mounts) {
    // Directories that bubblewrap makes on the way are for root alone.
    for (const made of madeParents(mount, run.mounts)) options.push('--perms', '0755', '--dir', `${below}${made}`);
    options.push(...mountOptions(mount, targetOf(mount)));
  }
  for (const mount of run.mounts) {
    if (mount.type === 'tmpfs' && mount.readOnly) options.push('--remount-ro', targetOf(mount));
  }
  options.push('--clearenv');
  for (const [name, value] of Object.entries(run.env)) options.push('--setenv', name, value);
  options.push('--chdir', run.workingDirectory);
  return options;
}

function mountOptions(mount: StepMount, target: string): string[] {
  if (mount.type === 'tmpfs') return tmpfsOptions(target, mount.shared === true);
  return [mount.readOnly ? '--ro-bind' : '--bind', mount.source, target];
}

function tmpfsOptions(target: string, shared: boolean): string[] {
  return ['--perms', shared ? '1777' : '0755', '--tmpfs', target];
}
