import { hostBytes, hostText } from '../core/host-text.ts';
import { readFileSync, readlinkSync } from '../host/files.ts';

/** What a process was started with; texts are in the form of `hostText`, where Node's own have lost what is not UTF-8. */
export interface ProcessText {
  /** As `process.argv`. */
  readonly argv: readonly string[];
  /** As `process.cwd()`. */
  readonly workingDirectory: string;
  /** As `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What Node shows for bytes that it cannot read. */
const LOST = '\ufffd';

/** Asks the kernel again for whatever came out of Node with something lost (proc_pid_cmdline(5), proc_pid_environ(5)). */
export function readProcessText(node: ProcessText): ProcessText {
  return {
    argv: node.argv.join('').includes(LOST) ? exactArguments(node.argv) : node.argv,
    workingDirectory: node.workingDirectory.includes(LOST) ? readlinkSync('/proc/self/cwd') : node.workingDirectory,
    environment: exactEnvironment(node.environment),
  };
}

/** Node takes its own options out, so that the two lists are the same at their ends. */
function exactArguments(argv: readonly string[]): readonly string[] {
  const words = splitWords(readFileSync('/proc/self/cmdline'));
  return argv.map((word, index) => (word.includes(LOST) ? (words.at(index - argv.length) ?? word) : word));
}

function exactEnvironment(environment: ProcessText['environment']): ProcessText['environment'] {
  const lossy = Object.entries(environment).filter(([name, value]) => `${name}${value}`.includes(LOST));
  if (lossy.length === 0) return environment;
  const names = new Set(lossy.map(([name]) => name));
  const kept = Object.entries(environment).filter(([name]) => !names.has(name));
  const exact = splitWords(readFileSync('/proc/self/environ')).flatMap(word => {
    const equals = word.indexOf('=');
    const name = word.slice(0, equals);
    return names.has(hostBytes(name).toString()) ? [[name, word.slice(equals + 1)] as const] : [];
  });
  return Object.fromEntries([...kept, ...exact]);
}

/** Words that end with a NUL byte each. */
function splitWords(bytes: Buffer): readonly string[] {
  return hostText(bytes).split('\0').slice(0, -1);
}
