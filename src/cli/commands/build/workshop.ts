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

/**
 * `--on-run-failure CMD` and `--shell-fail`: the terminal belongs to the command until it ends. Where the step had secrets,
 * what it shows passes by us, so that it shows none.
 */
function failureHook(request: WorkshopRequest): Workshop['onFailure'] {
  const { flags, session, ui } = request;
  const command = flags.shellFail ? '/bin/sh' : flags.onRunFailure;
  if (command === undefined) return undefined;
  return async (root, run, mask) => {
    const resume = await ui.suspend();
    const hook = { ...run, command: ['/bin/sh', '-c', command], signal: session.signal };
    const { stdout } = session;
    const terminal = !mask.isEmpty && process.stdin.isTTY && stdout.isTTY ? mask.stream() : undefined;
    try {
      if (mask.isEmpty) await runStep(root, { ...hook, stdio: 'inherit' });
      else if (!terminal) await runStep(root, { ...hook, stdio: 'watch', onOutput: maskedOutput(mask, session) });
      else {
        await runStep(root, {
          ...hook,
          stdio: 'terminal',
          onTerminal: bytes => void stdout.write(terminal.push(bytes)),
        });
      }
    } finally {
      if (terminal) stdout.write(terminal.end());
      await resume();
    }
  };
}

function maskedOutput(mask: SecretMask, session: Session): StepRun['onOutput'] {
  return (stream, line) => void session[stream].write(`${mask.line(stream, line)}\n`);
}
