import { StkError } from '../../../core/errors.ts';
import {
  isHostLike,
  parseRegistryHost,
  parseRegistryReference,
  type RegistryHost,
  type RepositoryName,
} from '../../../oci/reference.ts';
import { storeCredentials, removeCredentials } from '../../../registry/login.ts';
import { RegistrySession } from '../../../registry/session.ts';
import type { Session } from '../../session.ts';
import { promptLine, readPiped } from './login-prompt.ts';

export interface LoginFlags {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly tlsVerify: boolean;
}

/** `stk login HOST`: asks the registry whether the password is right before it is kept. */
export async function runLogin(session: Session, host: string, flags: LoginFlags): Promise<number> {
  const { key, ...place } = parseHost(host);
  if (flags.passwordStdin && flags.username === undefined) {
    throw new StkError('usage', '--password-stdin needs --username');
  }
  const ask = (question: string, hidden: boolean) =>
    promptLine({ input: process.stdin, output: session.stderr, question, hidden, signal: session.signal });
  const username = flags.username ?? (await ask('Username', false));
  const password = flags.passwordStdin ? await readPiped(process.stdin) : await ask('Password', true);
  if (password === '') throw new StkError('usage', 'the password is empty');
  const registries = await session.stores.registries();
  const registry = new RegistrySession({
    ...place,
    client: registries.client,
    credentials: { kind: 'password', username, password },
    tls: await registries.certificates(place.host),
    insecure: !flags.tlsVerify,
  });
  await registry.ping(session.signal);
  const file = await storeCredentials(key, { username, password }, registries.credentialEnvironment, session.signal);
  session.stdout.write(`logged in to ${key} as ${username}; kept in ${file}\n`);
  return 0;
}

/** `stk logout HOST`. */
export async function runLogout(session: Session, host: string): Promise<number> {
  const { key } = parseHost(host);
  const { credentialEnvironment } = await session.stores.registries();
  if (await removeCredentials(key, credentialEnvironment, session.signal)) {
    session.stdout.write(`logged out of ${key}\n`);
    return 0;
  }
  throw new StkError('not-found', `not logged in to ${key}`, {
    hint: 'only what stk login, skopeo login or podman login wrote is removed; Docker keeps its own file',
  });
}

interface LoginPlace {
  /** What credentials are kept under. */
  readonly key: string;
  readonly host: RegistryHost;
  readonly repository?: RepositoryName;
}

/** A host, or a namespace or repository of one: credentials may be kept for a part of a registry. */
function parseHost(text: string): LoginPlace {
  if (text.includes('@')) {
    throw new StkError('usage', 'a registry is named without user and password', {
      hint: 'stk login HOST --username NAME; the password is asked for, or read with --password-stdin',
    });
  }
  const key = text.replace(/^(docker|https?):\/\//, '').replace(/\/+$/, '');
  const [host = '', ...rest] = key.split('/');
  if (!isHostLike(host) || rest.some(part => part.includes(':'))) {
    throw new StkError('usage', `${text} is no registry`, {
      hint: 'name its host: registry.example, or localhost:5000',
    });
  }
  if (rest.length === 0) {
    const registry = parseRegistryHost(host);
    return { key: registry, host: registry };
  }
  const reference = parseRegistryReference(`${host}/${rest.join('/')}`);
  return { key: `${reference.host}/${rest.join('/')}`, host: reference.host, repository: reference.repository };
}
