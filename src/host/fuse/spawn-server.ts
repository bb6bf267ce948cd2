import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { StkError, throwIfAborted } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { open } from '../files.ts';
import { keepInheritedFiles } from '../inherited-files.ts';
import { systemCommand } from '../raw-command.ts';

export interface ServerProcess {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Inherited as `LISTENING_DESCRIPTOR`; it stays the caller's. */
  readonly listening: number;
  /** Receives stdout and stderr, appended. */
  readonly logFile: AbsPath;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts a process of its own session (setsid) that outlives this one. Throws `missing-capability` where it cannot be
 * started.
 */
export async function spawnServer(server: ServerProcess): Promise<void> {
  throwIfAborted(server.signal);
  await using log = await open(server.logFile, 'a', 0o600);
  const [file = '', ...args] = server.command;
  const command = systemCommand({ file, args, env: server.env });
  keepInheritedFiles();
  const child = spawn(command.file, command.args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log.fd, log.fd, server.listening],
    env: command.env,
  });
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new StkError('missing-capability', `cannot start ${file}`, { cause });
  }
  child.unref();
}
