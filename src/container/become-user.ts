import { StkError } from '../core/errors.ts';
import type { ProgramFiles } from '../host/tools/program-files.ts';
import type { ProcessUser } from './bundle-user.ts';

/** Where the container sees those of the host's programs that begin in it; /dev is the sandbox's own. */
const TOOLS = '/dev/.stk';
/** The root that a container of another user than root is started from: nothing of the image is at work there. */
const OUTSIDE = { tree: '/image', tools: '/tools' } as const;
/** Needed between the start and the change of the user, which leaves none. */
const TO_CHANGE = '+setuid,+sys_chroot,+dac_override';

/** Variables by which a C library loads code and data into a program, or uses memory otherwise (ld.so(8), musl's ldso). */
const LOADING = /^(?:(?:LD|GLIBC|MALLOC|MUSL)_.*|GCONV_PATH|LOCPATH|NLSPATH)$/;

export interface Start {
  readonly user: ProcessUser;
  readonly command: readonly string[];
  /** Absolute in the container. */
  readonly workingDirectory: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** How a sandbox is set up for a command, and what is run in it. */
export interface StartPlan {
  /** For `sandboxOptions`. */
  readonly sandbox: {
    readonly below?: string;
    readonly workingDirectory: '/';
    readonly env: Readonly<Record<string, string>>;
  };
  /** Options of bubblewrap, behind all others: no other mount covers these. */
  readonly options: readonly string[];
  readonly command: readonly string[];
}

/** See `findProgramFiles`. */
export type FindProgram = (name: 'setpriv' | 'unshare' | 'env') => Promise<ProgramFiles>;

/**
 * Plans the start of a command as a user of an image that is not trusted. As another user than root, it is begun outside
 * of the image: inside, the loader's preload list, name services and account files would be the image's, and its code would
 * run as root. The root directory is changed by chroot(2) then. The working directory is entered behind bubblewrap, which
 * has the host's /proc open: the image's could be a link to /proc/self/fd. Variables that the loader heeds are set last.
 * Throws `missing-capability`, and `unsupported` for such variables and a program that looks like one.
 */
export async function planStart(start: Start, find: FindProgram): Promise<StartPlan> {
  const { user, workingDirectory } = start;
  const isLoading = ([name]: readonly [string, string]) => LOADING.test(name);
  const variables = Object.entries(start.environment);
  const env = Object.fromEntries(variables.filter(variable => !isLoading(variable)));
  const late = lateVariables(start, variables.filter(isLoading));
  const enters = user.uid !== 0 || workingDirectory !== '/';
  const setpriv = await find('setpriv');
  const unshare = enters ? await find('unshare') : undefined;
  const last = late.length > 0 ? await find('env') : undefined;
  const command = [...(last?.start(TOOLS) ?? []), ...late, ...start.command];
  // With its own group among them, a process cannot shed what is forbidden to that group.
  const groups = [`--regid=${user.gid}`, `--groups=${[user.gid, ...user.additionalGids].join(',')}`];
  // What root may do it gets anew with every program; what others inherit, no program should turn into more.
  const caps = ['--inh-caps=-all', '--ambient-caps=-all'];
  if (user.uid === 0) {
    const enter = unshare ? [...unshare.start(TOOLS), `--wd=${workingDirectory}`, '--'] : [];
    return {
      sandbox: { workingDirectory: '/', env },
      options: filesAt(TOOLS, [setpriv, unshare, last]),
      command: [...setpriv.start(TOOLS), ...groups, ...caps, '--', ...enter, ...command],
    };
  }
  const { tree, tools } = OUTSIDE;
  const enter = [`--root=${tree}`, `--wd=${workingDirectory}`, `--setuid=${user.uid}`];
  return {
    sandbox: { below: tree, workingDirectory: '/', env },
    options: [...filesAt(tools, [setpriv, unshare]), ...(last ? filesAt(`${tree}${TOOLS}`, [last]) : [])],
    command: [
      ...[...setpriv.start(tools), ...groups, ...caps, `--bounding-set=-all,${TO_CHANGE}`, '--'],
      ...[...unshare!.start(tools), ...enter, '--', ...command],
    ],
  };
}

/** Arguments for env(1), which takes whatever looks like an assignment for one. */
function lateVariables(
  { workingDirectory, command: [program = ''] }: Start,
  loading: readonly (readonly [string, string])[],
): readonly string[] {
  const words = loading.map(([name, value]) => `${name}=${value}`);
  // bubblewrap sets it to where it begins.
  if (!program.includes('=')) return workingDirectory === '/' ? words : [...words, `PWD=${workingDirectory}`];
  if (words.length === 0) return words;
  throw new StkError('unsupported', `a program with = in its name cannot be given ${loading[0]?.[0]}`, {
    hint: `start it with a shell: sh -c 'exec "$0"' ${program.slice(0, 100)}`,
  });
}

function filesAt(directory: string, programs: readonly (ProgramFiles | undefined)[]): readonly string[] {
  const files = new Map(programs.flatMap(program => [...(program?.files ?? [])]));
  return ['--dir', directory, ...[...files].flatMap(([name, file]) => ['--ro-bind', file, `${directory}/${name}`])];
}
