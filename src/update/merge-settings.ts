import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { StkError } from '../core/errors.ts';
import type { ConflictRule } from '../apply/merge-problem.ts';
import type { RuntimeConfig } from '../oci/descriptor.ts';
import { mergeSearchPath } from './merge-search-path.ts';

/** Settings (image-spec, config.md, "config") of a base before and after, and of the image that stood on the first. */
export interface SettingsVersions {
  readonly before: RuntimeConfig;
  readonly base: RuntimeConfig;
  readonly image: RuntimeConfig;
}

/** A setting that base and image both changed, and not to the same; `undefined`: one took it away. */
export interface SettingClash {
  /** As rules name it: `config.User`, `config.Env.PATH`, `config.Labels.version`. */
  readonly name: string;
  readonly base: JsonValue | undefined;
  readonly image: JsonValue | undefined;
}

export interface MergedSettings {
  readonly settings: RuntimeConfig;
  /** Clashes that a rule settled, or that have an answer of their own, with whose value was taken. */
  readonly settled: readonly (SettingClash & { readonly taken: 'first' | 'last' })[];
  /** All others; where there is one, `settings` means nothing. */
  readonly clashes: readonly SettingClash[];
}

type Flat = ReadonlyMap<string, JsonValue>;

/** Members that are maps, or lists of names with values: each entry is a setting of its own. */
const MAPS = ['Labels', 'Volumes', 'ExposedPorts'] as const;

/**
 * The settings that a build on the new base would give: what the image had changed of the old base's settings is changed
 * in the new base's. Search paths are merged by their directories. Members that stk does not know are settings like the
 * others. Throws `invalid-input` for a rule that says neither `first` (the base's value) nor `last` (the image's).
 */
export function mergeSettings(versions: SettingsVersions, rules: readonly ConflictRule[]): MergedSettings {
  const [before, base, image] = [flat(versions.before), flat(versions.base), flat(versions.image)];
  const merged = new Map<string, JsonValue>();
  const settled: (SettingClash & { taken: 'first' | 'last' })[] = [];
  const clashes: SettingClash[] = [];
  const put = (key: string, value: JsonValue | undefined): void => {
    if (value !== undefined) merged.set(key, value);
  };
  // A new entry point takes the old one's arguments away: the image has decided on both.
  const ownCommand = !same(image.get('Entrypoint'), before.get('Entrypoint'));
  for (const key of new Set([...base.keys(), ...image.keys()])) {
    const [was, now, own] = [before.get(key), base.get(key), image.get(key)];
    if (same(own, was) && !(key === 'Cmd' && ownCommand)) put(key, now);
    else if (same(now, was) || same(now, own) || (key === 'Cmd' && ownCommand)) put(key, own);
    else if (key === 'Env.PATH') put(key, mergeSearchPath(text(was), text(now), text(own)));
    else {
      const clash = { name: `config.${key}`, base: now, image: own };
      const taken = ruleFor(clash.name, rules) ?? (DESCRIBES_AN_IMAGE.test(key) ? 'last' : undefined);
      if (taken === undefined) clashes.push(clash);
      else settled.push({ ...clash, taken });
      put(key, taken === 'first' ? now : own);
    }
  }
  return { settings: unflat(merged), settled, clashes };
}

/** Labels that say which image this is (image-spec, annotations.md): those of a base say it of the base. */
const DESCRIBES_AN_IMAGE = /^Labels\.(?:org\.opencontainers\.image|org\.label-schema)\./;

function ruleFor(name: string, rules: readonly ConflictRule[]): 'first' | 'last' | undefined {
  const rule = rules.find(({ glob }) => matches(glob, name));
  if (rule === undefined) return undefined;
  const { glob, resolution } = rule;
  if (resolution === 'first' || resolution === 'last') return resolution;
  if (resolution === 'error') return undefined;
  throw new StkError('invalid-input', `settings are not settled by ${resolution}: ${glob}`, {
    hint: `write ${glob}=first for the base's value, ${glob}=last for the image's`,
  });
}

/** A rule for settings begins with `config.`; a star stands for any characters. */
function matches(glob: string, name: string): boolean {
  if (!glob.startsWith('config.')) return false;
  const pieces = glob.split('*').map(piece => piece.replaceAll(/[.\\^$+?()[\]{}|]/g, String.raw`\$&`));
  return new RegExp(`^${pieces.join('.*')}$`, 's').test(name);
}

/** Every setting under its name; what is empty is as good as absent. */
function flat(config: RuntimeConfig): Flat {
  const settings = new Map<string, JsonValue>();
  for (const [member, value] of Object.entries(config) as [string, JsonValue][]) {
    if (isEmpty(value)) continue;
    if (member === 'Env') {
      for (const entry of config.Env ?? []) {
        const [name = ''] = entry.split('=', 1);
        settings.set(`Env.${name}`, entry.slice(name.length + 1));
      }
    } else if (isMap(member)) {
      for (const [name, each] of Object.entries(value as Record<string, JsonValue>))
        settings.set(`${member}.${name}`, each);
    } else settings.set(member, value);
  }
  return settings;
}

function unflat(settings: Flat): RuntimeConfig {
  const env: string[] = [];
  const members = new Map<string, JsonValue>();
  const maps = new Map<string, Map<string, JsonValue>>();
  for (const [key, value] of settings) {
    const [member = '', ...rest] = key.split('.');
    const name = rest.join('.');
    if (member === 'Env') env.push(`${name}=${text(value)}`);
    else if (isMap(member)) {
      const map = maps.get(member) ?? new Map<string, JsonValue>();
      maps.set(member, map.set(name, value));
    } else members.set(key, value);
  }
  for (const [member, map] of maps) members.set(member, Object.fromEntries(map));
  return { ...Object.fromEntries(members), ...(env.length === 0 ? {} : { Env: env }) };
}

function isMap(member: string): boolean {
  return (MAPS as readonly string[]).includes(member);
}

function isEmpty(value: JsonValue): boolean {
  if (value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function same(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b));
}

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
