import { StkError } from '../core/errors.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import type { ProcessUser } from './bundle-user.ts';

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

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Argument vector by the rules of image-spec, config.md. Throws `usage` where there is nothing to run. */
export function containerCommand(image: ImageConfig, settings: RunSettings): readonly string[] {
  const { Entrypoint = [], Cmd = [] } = image.config ?? {};
  const { command, entrypoint } = settings;
  const start = entrypoint === undefined ? Entrypoint : entrypoint === '' ? [] : [entrypoint];
  const rest = command.length > 0 ? command : entrypoint === undefined ? Cmd : [];
  const words = [...start, ...rest];
  if (words.length === 0 || words[0] === '') {
    throw new StkError('usage', 'the image names no command to run', { hint: 'give one: stk run REF COMMAND ARG…' });
  }
  assertNoNul('command', words);
  return words;
}

/** The whole environment of the command. Entries of the image without `=` set nothing. */
export function containerEnvironment(
  image: ImageConfig,
  settings: RunSettings,
  user: ProcessUser,
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = { PATH: DEFAULT_PATH, HOSTNAME: settings.hostname };
  if (user.uid === 0) environment['HOME'] = '/root';
  if (settings.tty) environment['TERM'] = settings.term ?? 'xterm';
  for (const entry of image.config?.Env ?? []) {
    const at = entry.indexOf('=');
    if (at > 0) environment[entry.slice(0, at)] = entry.slice(at + 1);
  }
  Object.assign(environment, settings.environment);
  assertNoNul('environment', Object.entries(environment).flat());
  return environment;
}

function assertNoNul(what: string, words: readonly string[]): void {
  if (!words.some(word => word.includes('\0'))) return;
  throw new StkError('invalid-input', `the ${what} holds a NUL`, {
    hint: 'the image configuration or the options are wrong',
  });
}
