import { StkError } from '../../../core/errors.ts';
import { parseRegistryReference, type RegistryHost } from '../../../oci/reference.ts';
import type { Session } from '../../session.ts';
import { promptLine, readPiped } from './login-prompt.ts';

export interface PublishLogin {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly password?: string;
}

/**
 * Uses the user name and password of the command line for the registry of a destination, and for this command alone;
 * without a user name, what is kept is used. Throws `usage` where one of the two is missing.
 */
export async function logInOnce(session: Session, destination: string, flags: PublishLogin): Promise<void> {
  const { username } = flags;
  if (username === undefined) {
    if (flags.passwordStdin !== true && flags.password === undefined) return;
    throw new StkError('usage', 'a password needs --username');
  }
  if (!destination.startsWith('docker://')) {
    throw new StkError('usage', '--username is for registries', {
      hint: 'leave it out, or publish to docker://HOST/…',
    });
  }
  const password = await passwordOf(session, username, flags);
  if (password === '') throw new StkError('usage', 'the password is empty');
  const registries = await session.stores.registries();
  registries.logIn(hostOf(destination), { kind: 'password', username, password });
}

async function passwordOf(session: Session, username: string, flags: PublishLogin): Promise<string> {
  if (flags.passwordStdin) return readPiped(process.stdin);
  if (flags.password !== undefined) {
    session.stderr.write('warning: others can read --password; use --password-stdin, or $STK_PASSWORD\n');
    return flags.password;
  }
  const { STK_PASSWORD: given } = session.environment;
  if (given !== undefined) return given;
  const question = `Password of ${username}`;
  return promptLine({ input: process.stdin, output: session.stderr, question, hidden: true, signal: session.signal });
}

/** Of `docker://HOST[:PORT][/PATH]`, whatever follows. */
function hostOf(destination: string): RegistryHost {
  const [host] = destination.slice('docker://'.length).split('/');
  return parseRegistryReference(`docker://${host}/any`).host;
}
