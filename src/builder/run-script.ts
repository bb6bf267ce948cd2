import { StkError } from '../core/errors.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import type { TaskHandle } from '../core/events.ts';
import { chmod, mkdir, readFile, stat, writeFile } from '../host/files.ts';
import type { Bind, ImageDefinition } from '../recipe/model.ts';
import type { ProgramSupport } from '../sandbox/emulators.ts';
import { executableSources } from '../sandbox/executable-sources.ts';
import { fullDiskError } from '../sandbox/full-disk.ts';
import { runStep, sandboxMountPoints, type StepMount, type StepRun } from '../sandbox/run-step.ts';
import { openStepRoot, type StepRoot } from '../sandbox/step-root.ts';
import type { KnownImport } from '../sources/imports.ts';
import type { MountedCacheDir } from './cache-dirs.ts';
import { SecretMask } from './secret-mask.ts';
import type { MountedSecret } from './secrets.ts';

const SCRIPT_PLACE = '/stacker/.stk-run';

/** What to do where the kernel does not start the script (execve(2)), by the C library's words. */
const HINTS: Readonly<Record<string, string>> = {
  'Argument list too long':
    'environment and secrets of the step are too large for the kernel: pass large values as files',
  'Exec format error': 'the interpreter is a program for another architecture, or none at all',
  'Permission denied': 'the interpreter of the script is not executable in the image',
};

/** Lines of output that are shown again when a step fails. */
const FAILURE_TAIL = 20;

/** Looks around in the root of a failed script; what it shows goes through the mask. */
export type OnFailure = (root: StepRoot, run: StepRun, mask: SecretMask) => Promise<void>;

export interface ScriptRun {
  readonly definition: ImageDefinition;
  readonly script: string;
  /** Mounted layers, uppermost first. */
  readonly layers: readonly AbsPath[];
  /** The step's own empty directory. */
  readonly directory: AbsPath;
  readonly env: Readonly<Record<string, string>>;
  readonly imports: readonly KnownImport[];
  readonly secrets: readonly MountedSecret[];
  readonly cacheDirs: readonly MountedCacheDir[];
  readonly rootless: boolean;
  readonly programs: ProgramSupport;
  /** Something of the host's that the script may write to, and where it sees it. */
  readonly writable?: { readonly source: AbsPath; readonly target: string };
  /** Called with the root of a failed script, before it is taken apart. */
  readonly onFailure?: OnFailure | undefined;
  /** Done in place of the script, whose success the caller must not take from it: it is to throw. */
  readonly instead?: OnFailure | undefined;
  readonly task: TaskHandle;
  /** Receives what imports lack of their originals. */
  readonly onWarning: (text: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Runs a script as one shell in a fresh root. The caller disposes the root. Throws `step-failed` on a non-zero exit. */
export async function runScript(run: ScriptRun): Promise<StepRoot> {
  await using scope = new AsyncScope();
  const mounts = await scriptMounts(run, scope);
  const root = await openStepRoot({
    layers: run.layers,
    directory: run.directory,
    mountPoints: sandboxMountPoints(mounts),
    signal: run.signal,
  });
  try {
    const tail: string[] = [];
    const mask = new SecretMask(run.secrets.map(secret => secret.value));
    const step: StepRun = {
      command: interpreter(run.script),
      workingDirectory: '/',
      env: { ...run.env, ...Object.fromEntries(run.secrets.flatMap(secret => secret.variable ?? [])) },
      mounts,
      network: run.definition.network,
      rootless: run.rootless,
      userNamespace: run.programs.userNamespace,
      hostname: 'stk',
      scratch: run.directory,
      stdio: 'capture',
      signal: run.signal,
      onOutput(stream, line) {
        const text = mask.line(stream, line);
        run.task.output(stream, [text]);
        tail.push(text);
        if (tail.length > FAILURE_TAIL) tail.shift();
      },
    };
    await run.instead?.(root, step, mask);
    const status = await runStep(root, step);
    if (status !== 0) {
      await run.onFailure?.(root, step, mask);
      throw await stepFailure(run, status, tail);
    }
    return root;
  } catch (error) {
    await root[Symbol.asyncDispose]();
    throw error;
  }
}

/** Own interpreter line, or `/bin/sh -xe` as stackerfiles expect. */
function interpreter(script: string): string[] {
  return script.startsWith('#!') ? [SCRIPT_PLACE] : ['/bin/sh', '-xe', SCRIPT_PLACE];
}

async function scriptMounts(run: ScriptRun, scope: AsyncScope): Promise<StepMount[]> {
  const files = joinInside(run.directory, 'files');
  await mkdir(files);
  const script = joinInside(files, 'run');
  await writeFile(script, run.script);
  await chmod(script, 0o755);
  const own: StepMount[] = [{ type: 'bind', source: script, target: SCRIPT_PLACE, readOnly: true, file: true }];
  for (const known of run.imports) {
    // What becomes part of the image has been warned of with its layer.
    const source = await known.stage(run.signal, known.import.dest === undefined ? run.onWarning : undefined);
    const target = `${known.import.mountPoint}/${known.import.name}`;
    own.push({ type: 'bind', source, target, readOnly: true, file: known.tree.type === 'file' });
  }
  const mounts: StepMount[] = [
    { type: 'tmpfs', target: '/stacker', readOnly: true },
    ...(await executableSources(own, joinInside(run.directory, 'executable'), scope)),
  ];
  if (run.writable) mounts.push({ type: 'bind', ...run.writable, readOnly: false });
  mounts.push(...(await networkFiles(run, files)));
  for (const bind of run.definition.binds) mounts.push(await bindMount(bind));
  for (const cache of run.cacheDirs) {
    mounts.push({ type: 'bind', source: cache.source, target: cache.target, readOnly: false });
  }
  for (const secret of run.secrets) {
    mounts.push({ type: 'bind', source: secret.file, target: secret.target, readOnly: true, file: true });
  }
  return mounts;
}

async function bindMount(bind: Bind): Promise<StepMount> {
  const source = await stat(bind.source).catch((cause: unknown) => {
    throw new StkError('not-found', `bind ${bind.source} does not exist`, { cause });
  });
  return { type: 'bind', source: bind.source, target: bind.dest, readOnly: false, file: !source.isDirectory() };
}

/** Name resolution as on the host, unless the step has no network. */
async function networkFiles(run: ScriptRun, files: AbsPath): Promise<StepMount[]> {
  const hosts = joinInside(files, 'hosts');
  const resolv = joinInside(files, 'resolv.conf');
  const own = '127.0.0.1\tlocalhost stk\n::1\tlocalhost ip6-localhost ip6-loopback\n';
  const online = run.definition.network === 'host';
  await writeFile(hosts, own + (online ? await readOr('/etc/hosts', '') : ''));
  const mounts: StepMount[] = [{ type: 'bind', source: hosts, target: '/etc/hosts', readOnly: true, file: true }];
  if (online) {
    await writeFile(resolv, await readOr('/etc/resolv.conf', ''));
    mounts.push({ type: 'bind', source: resolv, target: '/etc/resolv.conf', readOnly: true, file: true });
  }
  return mounts;
}

async function readOr(file: string, otherwise: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => otherwise);
}

async function stepFailure(run: ScriptRun, status: number, tail: readonly string[]): Promise<StkError> {
  const { name } = run.definition;
  const failed = tail.findLast(line => line.startsWith('+ '));
  const refused = status === 1 ? tail.map(line => /^bwrap: execvp .*: (.*)$/.exec(line)?.[1]).find(Boolean) : undefined;
  const noShell = status === 127 || refused === 'No such file or directory';
  const command = failed ? `command \`${failed.slice(2)}\`` : 'the run script';
  const what = `${name}: ${command} failed with exit status ${status}`;
  const facts = { image: name, exitCode: status, output: tail, ...(failed ? { command: failed.slice(2) } : {}) };
  const full = await fullDiskError({ directory: run.directory, rootless: run.rootless, what, facts });
  if (full) return full;
  const { problem } = run.programs;
  if (problem && tail.some(line => line.includes('Exec format error'))) {
    const { hint = 'see stk check' } = problem;
    return new StkError('missing-capability', `${what}: ${problem.message}`, { cause: problem, hint, facts });
  }
  return new StkError('step-failed', what, {
    hint: noShell
      ? 'a command was not found in the image; `run` needs /bin/sh there, or a first line `#!/path/to/interpreter`'
      : refused === undefined
        ? 'look around in the failed root: stk build --shell-fail'
        : (HINTS[refused] ?? 'the interpreter of the script cannot be executed'),
    facts,
  });
}
