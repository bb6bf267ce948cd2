import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { errnoOf, StkError } from '../../core/errors.ts';
import { joinInside, type AbsPath } from '../../core/paths.ts';
import { toolEnvironment } from '../tool-path.ts';

export interface ContainerProcessOptions {
  /** bubblewrap's own arguments. */
  readonly options: readonly string[];
  readonly command: readonly string[];
  /** A private directory; what is left in it goes with it. */
  readonly scratch: AbsPath;
  /** Whether the caller's standard input is the container's, too; otherwise it is at its end. */
  readonly stdin: boolean;
  /** A terminal of its own, which follows the caller's in size and passes on its keys. */
  readonly tty: boolean;
}

/** A process in bubblewrap whose streams are the caller's. It dies with this process. */
export interface ContainerProcess {
  /** Exit status of the command; 128 + n where a signal ended it. */
  readonly done: Promise<number>;
  /** Sends a signal to the command itself; nothing where it is gone. */
  signal(name: NodeJS.Signals | number): Promise<void>;
}

/** Starts a command in bubblewrap, in the foreground, with script(1) between where it gets a terminal of its own. */
export async function startContainerProcess(run: ContainerProcessOptions): Promise<ContainerProcess> {
  const { scratch, tty } = run;
  const [args, info] = [joinInside(scratch, 'bwrap-args'), joinInside(scratch, 'bwrap-info')];
  const all = ['--die-with-parent', '--info-fd', '4', ...run.options];
  await writeFile(args, all.map(argument => `${argument}\0`).join(''), { mode: 0o600 });
  const words = ['bwrap', '--args', '3', '--', ...run.command].map(quoted).join(' ');
  const shell = `exec ${words} 3<${quoted(args)} 4>${quoted(info)}`;
  const [program, ...rest]: [string, ...string[]] = tty
    ? ['setpriv', '--pdeathsig', 'KILL', 'script', '-qefc', shell, '/dev/null']
    : ['sh', '-c', shell];
  const child = spawn(program, rest, {
    stdio: [run.stdin || tty ? 'inherit' : 'ignore', 'inherit', 'inherit'],
    env: { ...toolEnvironment(), SHELL: '/bin/sh' },
    // Keys such as Ctrl-C reach the container once: by us, or as bytes of its own terminal.
    detached: !tty,
  });
  const done = new Promise<number>((resolve, reject) => {
    child.on('error', cause => reject(new StkError('missing-capability', `cannot start ${program}`, { cause })));
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)));
  });
  return {
    done,
    async signal(name) {
      const pid = await commandPid(info);
      try {
        if (pid !== undefined) process.kill(pid, name);
        else child.kill(name);
      } catch (error) {
        if (errnoOf(error) !== 'ESRCH') throw error;
      }
    },
  };
}

/** The command is the one child of bubblewrap's init in the sandbox. */
async function commandPid(info: AbsPath): Promise<number | undefined> {
  const text = await readFile(info, 'utf8').catch(() => '');
  const init = Number(/"child-pid":\s*(\d+)/.exec(text)?.[1]);
  if (!Number.isSafeInteger(init)) return undefined;
  const children = await readFile(`/proc/${init}/task/${init}/children`, 'utf8').catch(() => '');
  const [first] = children.trim().split(/\s+/);
  return first ? Number(first) : init;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
