import { spawn } from 'node:child_process';
import { StkError } from '../../core/errors.ts';
import { systemCommand } from '../raw-command.ts';
import { toolEnvironment } from '../tool-path.ts';
import { exitStatus } from './exit-status.ts';
import { keepInheritedFiles } from '../inherited-files.ts';

export interface Reexec {
  /** Arguments of unshare(1) that name the namespaces. */
  readonly namespaces: readonly string[];
  /** The program and its arguments to run inside. */
  readonly command: readonly string[];
  /** The whole environment of the program inside. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Sent to the program inside as its first message. */
  readonly message: object;
  /** Aborted when this process is asked to end; the reason's text is told to the program inside. */
  readonly signal: AbortSignal;
}

/**
 * Runs a Node program as the first process of fresh namespaces and returns its exit status. Standard streams are
 * shared. Its life hangs on ours in two ways: the kernel kills it when we die (PR_SET_PDEATHSIG, twice), and a message
 * channel tells it to end in good order. With it ends every process and every mount of its namespaces.
 *
 * The program inside says `{ type: 'inside' }` through the channel first. Throws `missing-capability` where it ends before.
 */
export async function reexec(options: Reexec): Promise<number> {
  const args = ['--pdeathsig', 'KILL', 'unshare', ...options.namespaces];
  args.push('--pid', '--fork', '--kill-child', '--mount-proc', '--', ...options.command);
  const command = systemCommand({ file: 'setpriv', args, env: { ...toolEnvironment(), ...options.env } });
  keepInheritedFiles();
  const child = spawn(command.file, command.args, {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: command.env,
  });
  child.send(options.message, () => {});
  let isInside = false;
  child.on('message', (message: { readonly type?: unknown }) => {
    if (message.type === 'inside') isInside = true;
  });
  const tell = () => {
    if (child.connected) child.send({ type: 'abort', reason: String(options.signal.reason) }, () => {});
  };
  if (options.signal.aborted) tell();
  else options.signal.addEventListener('abort', tell, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', cause => reject(new StkError('missing-capability', 'cannot start setpriv', { cause })));
      child.on('exit', (code, signal) => {
        if (isInside || options.signal.aborted) return resolve(exitStatus(code, signal));
        const how = signal === null ? `status ${code}` : signal;
        reject(new StkError('missing-capability', `the host refuses namespaces: unshare ended with ${how}`));
      });
    });
  } finally {
    options.signal.removeEventListener('abort', tell);
  }
}
