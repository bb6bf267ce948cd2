import { StkError } from '../core/errors.ts';
import type { RuntimeConfig } from '../oci/descriptor.ts';

/** One change of an image's configuration. */
export interface ConfigChange {
  /** Of the instruction, in capitals. */
  readonly word: string;
  readonly apply: (config: RuntimeConfig) => RuntimeConfig;
}

const EXAMPLE = 'for example --change \'CMD ["nginx", "-g", "daemon off;"]\' or --change "ENV MODE=production"';

/**
 * Parses a change in the words of a Dockerfile: `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`, `STOPSIGNAL`, `USER`,
 * `VOLUME`, `WORKDIR`, then a space or `=`, then the value. A command is a JSON list, or a line for `/bin/sh -c`. As in a
 * recipe, an entry point clears the command of the base. Throws `usage`.
 */
export function parseChange(text: string): ConfigChange {
  const [, word = '', value = ''] = /^\s*([A-Za-z]+)(?:\s+|=)(.*?)\s*$/s.exec(text) ?? [];
  if (value === '' || value.includes('\0')) throw badChange(text, 'it names no instruction and value');
  return { word: word.toUpperCase(), apply: changeOf(text, word.toUpperCase(), value) };
}

function changeOf(text: string, word: string, value: string): ConfigChange['apply'] {
  switch (word) {
    case 'CMD': {
      const command = parseCommand(text, value);
      return config => ({ ...config, Cmd: command });
    }
    case 'ENTRYPOINT': {
      const command = parseCommand(text, value);
      return ({ Cmd: _cmd, ...config }) => ({ ...config, Entrypoint: command });
    }
    case 'ENV': {
      const pairs = parsePairs(text, value);
      return config => ({ ...config, Env: withVariables(config.Env ?? [], pairs) });
    }
    case 'LABEL': {
      const pairs = parsePairs(text, value);
      return config => ({ ...config, Labels: { ...config.Labels, ...Object.fromEntries(pairs) } });
    }
    case 'WORKDIR': {
      if (!value.startsWith('/')) throw badChange(text, 'a working directory is an absolute path');
      return config => ({ ...config, WorkingDir: value });
    }
    case 'USER': {
      if (!/^[^\s:]+(:[^\s:]+)?$/.test(value)) throw badChange(text, 'a user is USER or USER:GROUP');
      return config => ({ ...config, User: value });
    }
    case 'STOPSIGNAL': {
      if (!/^(SIG[A-Z0-9+-]+|\d{1,3})$/.test(value)) throw badChange(text, 'a signal is SIGNAME or a number');
      return config => ({ ...config, StopSignal: value });
    }
    case 'EXPOSE': {
      const ports = words(text, value);
      if (!ports.every(isPort)) throw badChange(text, 'a port is NUMBER, NUMBER/tcp or NUMBER/udp');
      return config => ({ ...config, ExposedPorts: { ...config.ExposedPorts, ...emptyMap(ports) } });
    }
    case 'VOLUME': {
      const volumes = value.startsWith('[') ? parseCommand(text, value) : words(text, value);
      if (!volumes.every(volume => volume.startsWith('/'))) throw badChange(text, 'a volume is an absolute path');
      return config => ({ ...config, Volumes: { ...config.Volumes, ...emptyMap(volumes) } });
    }
    default:
      throw badChange(text, `${word.slice(0, 40)} cannot be changed`);
  }
}

/** Applies changes in their order, but entry points first: they clear the base's command, and none that is given. */
export function applyChanges(config: RuntimeConfig, changes: readonly ConfigChange[]): RuntimeConfig {
  const sorted = [...changes.filter(isEntrypoint), ...changes.filter(change => !isEntrypoint(change))];
  return sorted.reduce((changed, change) => change.apply(changed), config);
}

function isEntrypoint(change: ConfigChange): boolean {
  return change.word === 'ENTRYPOINT';
}

function parseCommand(text: string, value: string): readonly string[] {
  if (!value.startsWith('[')) return ['/bin/sh', '-c', value];
  let list: unknown;
  try {
    list = JSON.parse(value);
  } catch {
    throw badChange(text, 'it begins like a JSON list and is none');
  }
  if (Array.isArray(list) && list.every(entry => typeof entry === 'string')) return list;
  throw badChange(text, 'a list holds strings only');
}

/** `NAME=VALUE …`, quoted as in a shell, or `NAME VALUE` with the rest of the line as it is. */
function parsePairs(text: string, value: string): readonly (readonly [string, string])[] {
  const [, first = '', rest] = /^(\S+)(?:\s+(.*))?$/s.exec(value) ?? [];
  if (!first.includes('=') && rest !== undefined) return [[first, rest]];
  return words(text, value).map(word => {
    const at = word.indexOf('=');
    if (at <= 0) throw badChange(text, 'write NAME=VALUE');
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

/** Splits like a shell: quotes of both kinds, and backslashes outside of single ones. */
function words(text: string, value: string): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < value.length; at++) {
    let char = value[at]!;
    if (quote === '' && /\s/.test(char)) {
      if (word !== undefined) found.push(word);
      word = undefined;
      continue;
    }
    if (char === quote) quote = '';
    else if (quote === '' && (char === '"' || char === "'")) quote = char;
    else {
      if (char === '\\' && quote !== "'") {
        if (++at >= value.length) throw badChange(text, 'it ends with a backslash');
        char = value[at]!;
      }
      word = (word ?? '') + char;
      continue;
    }
    word ??= '';
  }
  if (quote !== '') throw badChange(text, 'a quotation has no end');
  if (word !== undefined) found.push(word);
  return found;
}

/** A variable that is there keeps its place; new ones follow. */
function withVariables(env: readonly string[], pairs: readonly (readonly [string, string])[]): readonly string[] {
  const variables = new Map(env.map(entry => [entry.split('=', 1)[0]!, entry]));
  for (const [name, value] of pairs) variables.set(name, `${name}=${value}`);
  return [...variables.values()];
}

function isPort(text: string): boolean {
  const [, number, last] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(?:tcp|udp|sctp))?$/.exec(text) ?? [];
  return number !== undefined && Number(number) <= 65_535 && Number(last ?? 0) <= 65_535;
}

function emptyMap(names: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(names.map(name => [name, {}]));
}

function badChange(text: string, problem: string): StkError {
  return new StkError('usage', `--change ${JSON.stringify(text.slice(0, 200))}: ${problem}`, { hint: EXAMPLE });
}
