import path from 'node:path';
import { StkError, errnoOf, messageOf } from '../core/errors.ts';
import { readFile, readdir } from '../host/files.ts';
import { parseRepository, type RegistryHost, type RegistryReference } from '../oci/reference.ts';

/** What of the process's environment decides where registries are configured. */
export interface RegistriesEnvironment {
  readonly home?: string | undefined;
  /** `$CONTAINERS_REGISTRIES_CONF`: if set, the only file that is read. */
  readonly registriesConf?: string | undefined;
}

/** A `[[registry.mirror]]` table. */
export interface MirrorRule {
  readonly location: string;
  readonly insecure: boolean;
  readonly pull: 'all' | 'digest-only' | 'tag-only';
}

/** A `[[registry]]` table (containers-registries.conf(5), version 2). */
export interface RegistryRule {
  /** `host[:port][/path][:tag]`, or `*.domain`. */
  readonly prefix: string;
  /** What takes the prefix's place; the prefix itself where nothing does. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorRule[];
}

/** Somewhere that a reference may be read from. */
export interface Endpoint {
  readonly host: RegistryHost;
  readonly repository: RegistryReference['repository'];
  readonly insecure: boolean;
  readonly pull: MirrorRule['pull'];
}

const MAX_CONF_BYTES = 1024 * 1024;

/**
 * Reads the rules of the user, or else of the system, and those of the `.d` directories, which win. Throws
 * `invalid-input` for a file that is not understood, naming it: ignoring it might reach a registry that is blocked.
 */
export async function readRegistryRules(environment: RegistriesEnvironment): Promise<readonly RegistryRule[]> {
  const rules = new Map<string, RegistryRule>();
  for (const file of await confFiles(environment)) {
    for (const rule of await readRules(file)) rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

async function confFiles({ home, registriesConf }: RegistriesEnvironment): Promise<readonly string[]> {
  if (registriesConf) return [registriesConf];
  const system = '/etc/containers/registries.conf';
  const user = home && path.join(home, '.config/containers/registries.conf');
  const main = user && (await listed(path.dirname(user))).includes('registries.conf') ? user : system;
  const files = [main];
  for (const directory of [`${system}.d`, ...(user ? [`${user}.d`] : [])]) {
    const names = await listed(directory);
    for (const name of names.toSorted()) if (name.endsWith('.conf')) files.push(path.join(directory, name));
  }
  return files;
}

function listed(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

async function readRules(file: string): Promise<readonly RegistryRule[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    throw bad(file, `cannot be read: ${messageOf(error)}`);
  }
  if (text.length > MAX_CONF_BYTES) throw bad(file, 'is too large');
  // Most machines configure nothing of this: the parser need not be loaded.
  if (!/^\s*(\[\[?\s*"?registr(y|ies)\b|"?registry"?\s*=)/m.test(text)) return [];
  const { parse } = await import('smol-toml');
  let document: Record<string, unknown>;
  try {
    document = parse(text);
  } catch (error) {
    throw bad(file, `is no TOML: ${messageOf(error).split('\n')[0]}`);
  }
  if (document['registries'] !== undefined) {
    throw bad(
      file,
      'is in the format of version 1',
      'rewrite it with [[registry]] tables (containers-registries.conf(5))',
    );
  }
  return tables(document, 'registry', file).map(table => toRule(table, file));
}

type Table = Readonly<Record<string, unknown>>;

function toRule(table: Table, file: string): RegistryRule {
  const written = text(table, 'location', file);
  const prefix = trimmed(text(table, 'prefix', file) || written);
  if (prefix === '') throw bad(file, 'has a [[registry]] with neither prefix nor location');
  if (prefix.includes('*') && !/^\*\.[^*/]+$/.test(prefix)) throw bad(file, `has a bad prefix: ${prefix}`);
  const digestOnly = table['mirror-by-digest-only'] === true;
  return {
    prefix,
    location: trimmed(written) || prefix,
    insecure: table['insecure'] === true,
    blocked: table['blocked'] === true,
    mirrors: tables(table, 'mirror', file).map(mirror => toMirror(mirror, digestOnly, file)),
  };
}

function toMirror(table: Table, digestOnly: boolean, file: string): MirrorRule {
  const location = trimmed(text(table, 'location', file));
  if (location === '') throw bad(file, 'has a mirror without a location');
  const pull = text(table, 'pull-from-mirror', file) || (digestOnly ? 'digest-only' : 'all');
  if (pull !== 'all' && pull !== 'digest-only' && pull !== 'tag-only') {
    throw bad(file, `has an unknown pull-from-mirror: ${pull}`);
  }
  return { location, insecure: table['insecure'] === true, pull };
}

/** The rule with the longest prefix of a reference. Host names have no case. */
export function matchRule(
  rules: readonly RegistryRule[],
  reference: Pick<RegistryReference, 'host' | 'tag'> & { readonly repository: string | undefined },
): RegistryRule | undefined {
  const { host, repository, tag } = reference;
  const name = `${host}${repository === undefined ? '' : `/${repository}`}${tag === undefined ? '' : `:${tag}`}`;
  const matching = rules.filter(({ prefix }) => matches(prefix, host, name));
  return matching.toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
}

function matches(prefix: string, host: string, name: string): boolean {
  if (prefix.startsWith('*.')) return host.replace(/:\d+$/, '').endsWith(prefix.slice(1));
  if (!name.startsWith(prefix)) return false;
  // A prefix ends where a component does; a port belongs to the host's component.
  const next = name[prefix.length];
  return next === undefined || next === '/' || (next === ':' && prefix.includes('/'));
}

/**
 * Where to read a reference from, in order: mirrors, then the registry itself. Throws `unauthorized` for a registry
 * that the configuration blocks.
 */
export function pullEndpoints(rules: readonly RegistryRule[], reference: RegistryReference): readonly Endpoint[] {
  const rule = matchRule(rules, reference);
  if (!rule) return [{ host: reference.host, repository: reference.repository, insecure: false, pull: 'all' }];
  if (rule.blocked) {
    throw new StkError('unauthorized', `registries.conf blocks ${rule.prefix}`, {
      hint: 'whoever administers this machine has decided so',
      facts: { host: reference.host, prefix: rule.prefix },
    });
  }
  return [...rule.mirrors, { location: rule.location, insecure: rule.insecure, pull: 'all' as const }].map(
    ({ location, insecure, pull }) => ({ ...rewritten(reference, rule.prefix, location), insecure, pull }),
  );
}

function rewritten(
  { host, repository }: RegistryReference,
  prefix: string,
  location: string,
): Pick<Endpoint, 'host' | 'repository'> {
  if (location === prefix) return { host, repository };
  const name = `${host}/${repository}`;
  const rest = prefix.startsWith('*.') ? repository : name.slice(prefix.length).replace(/^\//, '');
  const [newHost = '', ...parts] = `${location}${rest === '' ? '' : `/${rest}`}`.split('/');
  return {
    host: newHost as RegistryHost,
    repository: parseRepository(parts.join('/'), { text: `${location}/${rest}`, at: newHost.length + 1 }),
  };
}

function tables(table: Table, key: string, file: string): readonly Table[] {
  const value = table[key] ?? [];
  const isTable = (entry: unknown): entry is Table => typeof entry === 'object' && entry !== null;
  if (Array.isArray(value) && value.every(isTable)) return value;
  throw bad(file, `has a ${key} that is no list of tables`);
}

function text(table: Table, key: string, file: string): string {
  const value = table[key] ?? '';
  if (typeof value === 'string') return value;
  throw bad(file, `has a ${key} that is no string`);
}

function trimmed(location: string): string {
  return location.trim().replace(/\/+$/, '');
}

function bad(file: string, problem: string, hint?: string): StkError {
  return new StkError('invalid-input', `${file} ${problem}`, {
    hint: hint ?? 'the format is described in containers-registries.conf(5)',
    facts: { path: file },
  });
}
