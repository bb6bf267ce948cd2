import { absPath } from '../../../core/paths.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { umountBundle } from '../../../container/bundle-umount.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';

/** `stk umount TARGET`; a bundle is unmounted by its own name, too. */
export async function runUmount(session: Session, target: string): Promise<number> {
  const unmounted = await umountBundle({
    home: await stateHome(session.environment, await readPrivileges()),
    target: absPath(target, session.workingDirectory),
    signal: session.signal,
  });
  const kept = unmounted.keptLayers > 0 ? `; ${unmounted.keptLayers} layers are used by other mounts` : '';
  session.stdout.write(`unmounted ${printableLine(unmounted.target)}${kept}\n`);
  return 0;
}
