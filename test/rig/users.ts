import { readFile } from 'node:fs/promises';
import { execa } from 'execa';

/** An account of this host. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The account that root's rootless tests run as; `./setup --tests` makes it. */
const TEST_USER = 'stk-test';

/** Who runs the tests. */
export const self = { uid: process.getuid?.() ?? -1, gid: process.getgid?.() ?? -1 };

/** The ordinary user: whoever runs the tests, or for root the dedicated account, if there is one. */
export async function ordinaryUser(): Promise<Account | undefined> {
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map(line => line.split(':'));
  const found = accounts.find(([name, , uid]) => (self.uid === 0 ? name === TEST_USER : uid === String(self.uid)));
  const [name, , uid, gid] = found ?? [];
  return name === undefined ? undefined : { name, uid: Number(uid), gid: Number(gid) };
}

/** A command line that is somebody's: `user` is the ordinary user, without an answer whoever runs the tests. */
export type Actor = 'root' | 'user';

export interface ActingCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** For execa. */
  readonly identity: { readonly uid?: number; readonly gid?: number };
}

/** How to run a command as somebody, with exactly the given environment. */
export async function commandAs(
  actor: Actor | undefined,
  command: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
): Promise<ActingCommand> {
  const [file, ...args] = command;
  if (actor === 'user' && self.uid === 0) {
    const account = await ordinaryUser();
    if (!account) throw new Error('there is no ordinary user for the tests; run ./setup --tests');
    return { file, args, identity: { uid: account.uid, gid: account.gid } };
  }
  if (actor === 'root' && self.uid !== 0) {
    const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    return { file: 'sudo', args: ['-n', 'env', '-i', ...settings, ...command], identity: {} };
  }
  return { file, args, identity: {} };
}

/** Whether a command succeeds for somebody; its last words where it does not. */
export async function probe(
  actor: Actor | undefined,
  command: readonly [string, ...string[]],
  cwd = '/',
): Promise<string | undefined> {
  const env = { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' };
  const { file, args, identity } = await commandAs(actor, command, env);
  const result = await execa(file, args, { ...identity, cwd, env, extendEnv: false, reject: false, all: true });
  if (!result.failed) return undefined;
  return result.all.trim().split('\n').at(-1) || result.shortMessage;
}
