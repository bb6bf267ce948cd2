import { hasRawBytes, hostBytes } from '../core/host-text.ts';

/** What is to be started. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string | undefined;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Turns each argument from the notation of printf(1) `%b` into the bytes that it stands for and becomes the command that
 * they name. The full stop keeps newlines at the end, which a substitution would cut.
 */
const DECODE_AND_EXEC =
  'n=$#; while [ "$n" -gt 0 ]; do a=$1.; case $1 in *\\\\*) a=$(printf "%b." "$1");; esac; ' +
  'shift; set -- "$@" "${a%.}"; n=$((n-1)); done; exec "$@"';

/** Exit status of the shell, and of env(1), where there is no such program. */
export const NO_SUCH_PROGRAM = 127;

/**
 * The command to give to Node so that this one is run. Node hands strings to a new process as UTF-8; what stands for other
 * bytes (`hostText`) goes through the system's shell, which reads none of it as shell text and is replaced by the program,
 * so that process id and descriptors are the same. A command without such bytes is returned as it is.
 */
export function systemCommand(command: Command): Command {
  const { file, args, cwd, env } = command;
  const variables = Object.entries(env).filter(([name, value]) => hasRawBytes(`${name}${value ?? ''}`));
  const isRawCwd = cwd !== undefined && hasRawBytes(cwd);
  if (!isRawCwd && variables.length === 0 && ![file, ...args].some(hasRawBytes)) return command;
  const words = [file, ...args];
  if (isRawCwd || variables.length > 0) {
    words.unshift(
      'env',
      ...(isRawCwd ? [`--chdir=${cwd}`] : []),
      ...variables.map(([name, value]) => `${name}=${value ?? ''}`),
    );
  }
  const plain = Object.entries(env).filter(entry => !variables.includes(entry));
  return {
    file: '/bin/sh',
    args: ['-c', DECODE_AND_EXEC, 'sh', ...words.map(encoded)],
    ...(isRawCwd ? {} : { cwd }),
    env: Object.fromEntries(plain),
  };
}

function encoded(word: string): string {
  const escaped = word.replaceAll('\\', '\\\\');
  if (!hasRawBytes(escaped)) return escaped;
  let text = '';
  for (const byte of hostBytes(escaped)) {
    text += byte < 0x80 ? String.fromCharCode(byte) : `\\0${byte.toString(8)}`;
  }
  return text;
}
