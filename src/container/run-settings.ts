import { constants } from 'node:os';
import { StkError } from '../core/errors.ts';
import type { ImageConfig } from '../oci/descriptor.ts';

/** What a run changes of an image's configuration. */
export interface RunSettings {
  /** Takes the place of `Cmd`; empty for the image's own. */
  readonly command: readonly string[];
  /** Takes the place of `Entrypoint`, and drops the image's `Cmd`; empty for none at all. */
  readonly entrypoint: string | undefined;
  /** Set over the image's. */
  readonly environment: Readonly<Record<string, string>>;
  /** USER or USER:GROUP. */
  readonly user: string | undefined;
  /** Absolute. */
  readonly workingDirectory: string | undefined;
  readonly hostname: string;
  readonly tty: boolean;
  /** The caller's kind of terminal. */
  readonly term: string | undefined;
}

/** `SIGRTMIN` as C libraries of Linux have it; systemd in a container ends by the third above. */
const FIRST_REAL_TIME = 34;
const MAX_VARIABLES = 2500;
const MAX_VARIABLE = 128 * 1024;
const MAX_ENVIRONMENT = 1024 * 1024;
/** Of a command whose image sets none. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Argument vector by the rules of image-spec, config.md. Throws `usage` where there is nothing to run. */
export function containerCommand(
  image: ImageConfig,
  { command, entrypoint }: Pick<RunSettings, 'command' | 'entrypoint'>,
  hint = 'give one: stk run REF COMMAND ARG…',
): readonly string[] {
  const { Entrypoint = [], Cmd = [] } = image.config ?? {};
  const start = entrypoint === undefined ? Entrypoint : entrypoint === '' ? [] : [entrypoint];
  const rest = command.length > 0 ? command : entrypoint === undefined ? Cmd : [];
  const words = [...start, ...rest];
  if (words.length === 0 || words[0] === '') {
    throw new StkError('usage', 'the image names no command to run', { hint });
  }
  assertNoNul('command', words);
  return words;
}

/** The whole environment of the command. Entries of the image without `=` set nothing. */
export function containerEnvironment(
  image: ImageConfig,
  settings: RunSettings,
  home: string | undefined,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {
    PATH: DEFAULT_PATH,
    HOSTNAME: settings.hostname,
    HOME: home ?? '/',
  };
  if (settings.tty) environment['TERM'] = settings.term ?? 'xterm';
  for (const entry of image.config?.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) environment[entry.slice(0, at)] = entry.slice(at + 1);
  }
  Object.assign(environment, settings.environment);
  assertNoNul('environment', Object.entries(environment).flat());
  assertFits(environment);
  return environment;
}

/** What asks the image's command to end. Throws `invalid-input` for a name that is none. */
export function stopSignal(image: ImageConfig): NodeJS.Signals | number {
  const text = image.config?.StopSignal;
  if (text === undefined || text === '') return 'SIGTERM';
  const wanted = text.toUpperCase().replace(/^(?:SIG)?(?=[A-Z])/, 'SIG');
  const found = Object.entries(constants.signals).find(([name, number]) => name === wanted || String(number) === text);
  if (found) return found[0] as NodeJS.Signals;
  const [, realTime] = /^SIGRTMIN\+(\d|[12]\d|30)$/.exec(wanted) ?? [];
  if (realTime !== undefined) return FIRST_REAL_TIME + Number(realTime);
  throw new StkError('invalid-input', `the image's stop signal ${text.slice(0, 40)} is none that stk knows`);
}

/** As execve(2) takes it, and bubblewrap's own limit of arguments. */
function assertFits(environment: Readonly<Record<string, string>>): void {
  const sizes = Object.entries(environment).map(
    ([name, value]) => Buffer.byteLength(name) + Buffer.byteLength(value) + 2,
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (sizes.length <= MAX_VARIABLES && total <= MAX_ENVIRONMENT && sizes.every(size => size <= MAX_VARIABLE)) return;
  throw new StkError('invalid-input', `an environment of ${sizes.length} variables, ${total} bytes, is too large`, {
    hint: `at most ${MAX_VARIABLES} variables of ${MAX_VARIABLE} bytes each, ${MAX_ENVIRONMENT} together`,
  });
}

/** Throws `invalid-input` for what no process can be given. */
export function assertNoNul(what: string, words: readonly string[]): void {
  if (!words.some(word => word.includes('\0'))) return;
  throw new StkError('invalid-input', `the ${what} holds a NUL`, {
    hint: 'the image configuration or the options are wrong',
  });
}
