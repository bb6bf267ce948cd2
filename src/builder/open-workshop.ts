import { joinInside } from '../../../core/paths.ts';
import type { AsyncScope } from '../../../core/async-scope.ts';
import type { Workshop } from '../../../builder/do-step.ts';
import type { SecretMask } from '../../../builder/secret-mask.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { openWorkspace } from '../../../builder/workspace.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import type { LayoutStore } from '../../../oci/layout.ts';
import { SessionMounts, type LayerTrust } from '../../../mount/session-mounts.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { runStep, type StepRun } from '../../../sandbox/run-step.ts';
import type { StepRoot } from '../../../sandbox/step-root.ts';
import type { Session } from '../../session.ts';
import type { Ui } from '../../ui/open-ui.ts';

export interface WorkshopRequest {
  readonly session: Session;
  readonly flags: { readonly onRunFailure?: string; readonly shellFail?: boolean; readonly kernel?: boolean };
  readonly layout: LayoutStore;
  /** Owns what is opened here. */
  readonly scope: AsyncScope;
  readonly ui: Ui;
  readonly trust: LayerTrust;
}

/** Everything that running steps needs, inside the namespaces. */
export async function openWorkshop(request: WorkshopRequest): Promise<Workshop> {
  const { session, scope } = request;
  const state = stateDirectories(session.global.stkDir);
  const privileges = await readPrivileges();
  const workspace = scope.use(await openWorkspace(state.work));
  const mounts = await SessionMounts.open({
    directory: joinInside(workspace.path, 'layers'),
    home: await stateHome(session.environment, privileges),
    engine: request.flags.kernel ? 'kernel' : 'auto',
    trust: request.trust,
  });
  scope.use(mounts);
  return {
    mounts,
    rootless: !privileges.initialUserNamespace,
    directory: workspace.path,
    cacheDirs: state.cacheDirs,
    onFailure: failureHook(request),
  };
}

/** `--on-run-failure CMD` and `--shell-fail`. */
function failureHook({ flags, session, ui }: WorkshopRequest): Workshop['onFailure'] {
  const command = flags.shellFail ? '/bin/sh' : flags.onRunFailure;
  if (command === undefined) return undefined;
  return async (root, run, mask) => {
    await runBeforeUser(root, { ...run, command: ['/bin/sh', '-c', command] }, mask, { session, ui });
  };
}

/**
 * Runs a command in a step's root before the user's eyes: the terminal belongs to it until it ends. Where the step has
 * secrets, what it shows passes by us, so that it shows none. Returns its exit status.
 */
export async function runBeforeUser(
  root: StepRoot,
  step: StepRun,
  mask: SecretMask,
  { session, ui }: Pick<WorkshopRequest, 'session' | 'ui'>,
): Promise<number> {
  const resume = await ui.suspend();
  const run = { ...step, signal: session.signal };
  const { stdout } = session;
  const terminal = !mask.isEmpty && process.stdin.isTTY && stdout.isTTY ? mask.stream() : undefined;
  try {
    if (mask.isEmpty) return await runStep(root, { ...run, stdio: 'inherit' });
    if (!terminal) return await runStep(root, { ...run, stdio: 'watch', onOutput: maskedOutput(mask, session) });
    const onTerminal = (bytes: Uint8Array) => void stdout.write(terminal.push(bytes));
    return await runStep(root, { ...run, stdio: 'terminal', onTerminal });
  } finally {
    if (terminal) stdout.write(terminal.end());
    await resume();
  }
}

function maskedOutput(mask: SecretMask, session: Session): StepRun['onOutput'] {
  return (stream, line) => void session[stream].write(`${mask.line(stream, line)}\n`);
}
