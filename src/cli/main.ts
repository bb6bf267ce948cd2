import path from 'node:path';
import { AsyncScope } from '../core/async-scope.ts';
import { StkError } from '../core/errors.ts';
import { absPath } from '../core/paths.ts';
import { readFileSync } from '../host/files.ts';
import { hasWaitingThread } from '../host/filesystem-answers.ts';
import { exitAtOnce } from '../host/syscalls/exit.ts';
import { setToolPath } from '../host/tool-path.ts';
import { EXIT } from './exit-status.ts';
import { GivenFiles } from './given-files.ts';
import { readProcessText } from './process-text.ts';
import { messageLines } from './message-lines.ts';
import { makeProgram } from './program.ts';
import { renderError } from './render-error.ts';
import { runCommandLine } from './run-command-line.ts';
import type { GlobalOptions, Session } from './session.ts';
import { WatchedOutput } from './standard-output.ts';
import type { ImageStores, StoresPorts } from '../stores/image-stores.ts';
import { stateDirectories } from '../builder/state-directories.ts';

/** Set in the environment of the process inside the namespaces. */
const INSIDE = 'STK_INSIDE_NAMESPACES';

declare const STK_VERSION: string | undefined;
declare const STK_BUILD: string | undefined;

async function main(): Promise<number> {
  const controller = new AbortController();
  listenForEnd(controller);
  const {
    argv,
    workingDirectory,
    environment: variables,
  } = readProcessText({
    argv: process.argv,
    workingDirectory: process.cwd(),
    environment: process.env,
  });
  setToolPath(variables['PATH']);
  const { [INSIDE]: inside, ...environment } = variables;
  const color = process.stderr.isTTY && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
  // Whoever started this process knows by it that the host has let it in.
  if (inside !== undefined) process.send?.({ type: 'inside' });
  const given = new GivenFiles(inside === undefined ? {} : await receiveGiven(), controller.signal);
  const view: Session['view'] = { stepOutputShown: false, statusStands: false, errorsAsJson: false, emit: undefined };
  const session = async (global: GlobalOptions): Promise<Session> => ({
    workingDirectory: absPath('.', workingDirectory),
    environment,
    global,
    stdout: process.stdout,
    stderr: process.stderr,
    color,
    signal: controller.signal,
    view,
    scope,
    given,
    stores: await openStores(global, view, { environment, workingDirectory, scope, signal: controller.signal }),
    version: version(),
    build: typeof STK_BUILD === 'string' ? STK_BUILD : 'source',
    self: [process.execPath, ...process.execArgv, path.resolve(workingDirectory, argv[1] ?? '')],
    inside: inside !== undefined,
    enter: async () => {
      const { enterNamespaces } = await import('../sandbox/enter-namespaces.ts');
      const command = [process.execPath, ...process.execArgv, ...argv.slice(1)];
      const message = { type: 'given', files: await given.handOver() };
      return enterNamespaces({ command, env: { ...environment, [INSIDE]: '1' }, message, signal: controller.signal });
    },
  });
  await using scope = new AsyncScope();
  const program = makeProgram(session, workingDirectory, environment, version());
  return await runCommandLine(program, argv.slice(2), {
    stderr: process.stderr,
    color,
    signal: controller.signal,
    view,
  });
}

/** Loaded here and not with this file: help and completion need none. */
async function openStores(
  global: GlobalOptions,
  view: Session['view'],
  {
    workingDirectory,
    ...ports
  }: Pick<StoresPorts, 'environment' | 'scope' | 'signal'> & { readonly workingDirectory: string },
): Promise<ImageStores> {
  const { ImageStores } = await import('../stores/image-stores.ts');
  return new ImageStores({
    ...ports,
    userAgent: `stk/${version()}`,
    workingDirectory: absPath('.', workingDirectory),
    defaultLayout: global.ociDir,
    scratch: stateDirectories(global.stkDir).work,
    patienceMs: global.patienceMs,
    say(text, level) {
      const event = { type: 'message', level, text, at: Date.now() } as const;
      if (view.emit) view.emit(event);
      else for (const line of messageLines(event, global)) process.stderr.write(`${line}\n`);
    },
  });
}

/** One root signal for everything; a second Ctrl-C does not wait for the clean-up, unless a command listens for it. */
function listenForEnd(controller: AbortController): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      const isLast = controller.signal.aborted && name === 'SIGINT' && process.listenerCount(name) === 1;
      if (isLast) exit(EXIT.interrupted);
      controller.abort(new StkError('interrupted', name));
    });
  }
  process.on('disconnect', () => controller.abort(new StkError('interrupted', 'SIGHUP')));
  process.on('message', (message: Message) => {
    if (message.type === 'abort') controller.abort(new StkError('interrupted', String(message.reason)));
  });
  // The channel to whoever started this process must not keep it alive.
  process.channel?.unref();
}

/** What whoever started this process inside of the namespaces says; `given` comes first. */
interface Message {
  readonly type?: string;
  readonly reason?: string;
  readonly files?: Readonly<Record<string, string>>;
}

async function receiveGiven(): Promise<Readonly<Record<string, string>>> {
  process.channel?.ref();
  const message = await new Promise<Message>(resolve => {
    process.on('disconnect', () => resolve({}));
    process.on('message', (message: Message) => {
      if (message.type === 'given') resolve(message);
    });
    if (!process.connected) resolve({});
  });
  process.channel?.unref();
  return message.files ?? {};
}

function version(): string {
  if (typeof STK_VERSION === 'string') return STK_VERSION;
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

// A reader that went away, as in `stk ls | head`, is no failure. Without somebody to tell, work goes on.
const output = new WatchedOutput(process.stdout, () => exit(EXIT.ok));
const messages = new WatchedOutput(process.stderr, () => {});
const status = await main();
const lost = await output.end();
if (lost && status === EXIT.ok)
  process.stderr.write(renderError(lost, { color: false, debug: false, quoteOutput: false }));
await messages.end();
// Every scope has unwound; what is left are timers of libraries, which would keep the process for a fifth of a second.
exit(lost && status === EXIT.ok ? EXIT.storage : status);

/** A thread that waits for a dead filesystem would hold an ordinary end for as long. */
function exit(code: number): never {
  if (hasWaitingThread()) exitAtOnce(code);
  process.exit(code);
}
