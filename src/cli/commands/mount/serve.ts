import { runServer } from '../../../lazy/run-server.ts';
import { readServerEnvironment } from '../../../lazy/server-settings.ts';
import { exitAtOnce } from '../../../host/syscalls/exit.ts';
import { farOpener } from '../../../stores/far-blobs.ts';
import type { Session } from '../../session.ts';

/** `stk serve`: the life of a server, which ends with the process, whatever the kernel still waits for. */
export async function runServe(session: Session): Promise<never> {
  const { environment, self, signal } = session;
  const { settings, taken } = readServerEnvironment(environment);
  await runServer({ ...taken, settings, command: [...self, 'serve'], openFar: farOpener(session), signal });
  exitAtOnce(0);
}
