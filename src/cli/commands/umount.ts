import { absPath } from '../../core/paths.ts';
import { readPrivileges } from '../../host/privileges.ts';
import { stateHome } from '../../mount/state-directory.ts';
import { umountImage } from '../../mount/umount-image.ts';
import type { Session } from '../session.ts';

/** `stk umount TARGET`. */
export async function runUmount(session: Session, target: string): Promise<number> {
  const unmounted = await umountImage({
    home: await stateHome(session.environment, await readPrivileges()),
    target: absPath(target, session.workingDirectory),
    signal: session.signal,
  });
  const kept = unmounted.keptLayers > 0 ? `; ${unmounted.keptLayers} layers are used by other mounts` : '';
  session.stdout.write(`unmounted ${unmounted.target}${kept}\n`);
  return 0;
}
