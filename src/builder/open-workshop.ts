import type { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { readPrivileges } from '../host/privileges.ts';
import { SessionMounts, type LayerTrust } from '../mount/session-mounts.ts';
import { stateHome } from '../mount/state-directory.ts';
import { hostPlatform } from '../oci/platform.ts';
import { Emulators } from '../sandbox/emulators.ts';
import type { Workshop } from './do-step.ts';
import type { OnFailure } from './run-script.ts';
import { stateDirectories } from './state-directories.ts';
import { openWorkspace } from './workspace.ts';

export interface WorkshopRequest {
  readonly stkDir: AbsPath;
  /** Of the user; says where the state of mounts is kept. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Give the kernel every layer, whatever is known of it. */
  readonly kernel?: boolean | undefined;
  readonly trust: LayerTrust;
  readonly onFailure?: OnFailure | undefined;
  /** Owns what is opened here. */
  readonly scope: AsyncScope;
}

/** Everything that running steps needs, inside the namespaces. */
export async function openWorkshop(request: WorkshopRequest): Promise<Workshop> {
  const { scope, trust } = request;
  const state = stateDirectories(request.stkDir);
  const privileges = await readPrivileges();
  const workspace = scope.use(await openWorkspace(state.work));
  const mounts = await SessionMounts.open({
    directory: joinInside(workspace.path, 'layers'),
    home: await stateHome(request.environment, privileges),
    engine: request.kernel === true ? 'kernel' : 'auto',
    trust,
  });
  scope.use(mounts);
  return {
    mounts,
    rootless: !privileges.initialUserNamespace,
    emulators: scope.use(new Emulators(workspace.path, hostPlatform().architecture)),
    directory: workspace.path,
    cacheDirs: state.cacheDirs,
    onFailure: request.onFailure,
  };
}
