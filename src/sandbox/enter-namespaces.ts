import { StkError } from '../core/errors.ts';
import { findTool } from '../host/find-tool.ts';
import { keepInheritedFiles } from '../host/inherited-files.ts';
import { readPrivileges, type Privileges } from '../host/privileges.ts';
import { namespaceMend } from './namespace-mend.ts';
import { reexec, type Reexec } from '../host/tools/reexec.ts';

/** Ids that a Debian or Fedora base uses at least (nobody is 65534). */
const WANTED_IDS = 65_535;

export interface NamespacePlan {
  /** Arguments of unshare(1). */
  readonly namespaces: readonly string[];
  readonly rootless: boolean;
  /** Only the caller's own id can be mapped: files of other owners and `chown` will fail inside. */
  readonly singleId: boolean;
}

/**
 * Decides how to become root of a mount namespace: as root a new mount namespace suffices, anybody else needs a user
 * namespace, with a full range of ids where `newuidmap` and /etc/subuid give one.
 */
export async function planNamespaces(privileges: Privileges): Promise<NamespacePlan> {
  const mount = ['--mount', '--propagation', 'private'];
  if (privileges.canMount && privileges.uid === 0) return { namespaces: mount, rootless: false, singleId: false };
  const mapper = await findTool('newuidmap');
  const singleId = mapper === undefined || privileges.subordinateIds < WANTED_IDS;
  const user = ['--user', ...(singleId ? [] : ['--map-auto']), '--map-root-user'];
  return { namespaces: [...user, ...mount], rootless: true, singleId };
}

/**
 * Runs this program again as root of fresh namespaces and returns its exit status (see `reexec`). Throws `missing-capability`
 * where the host does not let it in.
 */
export async function enterNamespaces(request: Omit<Reexec, 'namespaces'>): Promise<number> {
  const plan = await planNamespaces(await readPrivileges());
  // What this lacks is not the namespaces' fault.
  keepInheritedFiles();
  try {
    return await reexec({ ...request, namespaces: plan.namespaces });
  } catch (cause) {
    throw new StkError('missing-capability', 'cannot enter new namespaces', {
      cause,
      hint: `${await namespaceMend()}; stk check tells of everything that is missing`,
    });
  }
}
