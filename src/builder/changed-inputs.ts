import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { digestOf, type CacheKey, type Digest } from '../core/digest.ts';
import { say, type Emit } from '../core/events.ts';
import { shownHostText } from '../core/host-text.ts';
import type { Platform } from '../oci/descriptor.ts';
import { contentKey } from '../plan/content-key.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { ImageStep } from './image-steps.ts';

/** What a step was done with, by what a user calls it. Digests: values may be secret. */
type Inputs = Readonly<Record<string, Digest>>;

/** A step that is about to be done, with everything that its key is made of. */
export interface MissedStep {
  readonly image: string;
  readonly platform: Platform;
  readonly step: ImageStep;
  readonly below: { readonly base: Digest; readonly layers: readonly (Digest | null)[] };
  readonly packing: JsonValue;
  readonly epochSeconds: number | undefined;
}

/** Changes that are named one by one where nobody asked for all of them. */
const FEW = 2;

/**
 * Says why a step has to be done although this image had it before: what changed since then. A step that is new is no
 * news. All of a long list are told at the level `debug`.
 */
export async function sayWhatChanged(records: RecordCache, missed: MissedStep, emit: Emit): Promise<void> {
  const before = await records.get('inputs', placeOf(missed));
  if (!isInputs(before)) return;
  const changed = changedInputs(before, inputsOf(missed));
  const reasons = changed.length === 0 ? ['its layer is no longer in the layout'] : changed;
  const tell = (level: 'info' | 'debug', words: readonly string[]): void =>
    say(emit, level, `${missed.step.label}: not cached: ${words.join(', ')}`, missed.image);
  const rest = reasons.length - FEW;
  tell('info', rest > 0 ? [...reasons.slice(0, FEW), `and ${rest} more`] : reasons);
  if (rest > 0) tell('debug', reasons);
}

/** Remembers with what a step was done, for the next time that it has to be. */
export async function rememberInputs(records: RecordCache, done: MissedStep): Promise<void> {
  await records.put('inputs', placeOf(done), inputsOf(done));
}

/** The step of an image, whatever it is made of. */
function placeOf({ image, platform, step }: MissedStep): CacheKey {
  return contentKey('inputs', undefined, { image, platform: { ...platform }, step: [step.kind, step.label] });
}

function changedInputs(before: Inputs, now: Inputs): readonly string[] {
  const gone = Object.keys(before).filter(name => !(name in now));
  const isNew = Object.keys(now).filter(name => !(name in before));
  const differs = Object.keys(now).filter(name => name in before && before[name] !== now[name]);
  return [
    ...differs.map(name => `${name} changed`),
    ...isNew.map(name => `${name} is new`),
    ...gone.map(name => `${name} is gone`),
  ];
}

function inputsOf({ step, below, packing, epochSeconds }: MissedStep): Inputs {
  const named: [string, JsonValue][] = [
    ['the base', below.base],
    ['a layer of an earlier step', [...below.layers]],
    ['compression or verity', packing],
    ['SOURCE_DATE_EPOCH', epochSeconds ?? null],
    ...namedInputs(step),
  ];
  return Object.fromEntries(named.map(([name, value]) => [name, digestOf(canonicalJson(value))]));
}

function namedInputs({ kind, overlay, inputs }: ImageStep): readonly [string, JsonValue][] {
  if (kind === 'overlay')
    return [[`the content of ${overlay ? shownHostText(overlay.source) : 'the directory'}`, inputs]];
  if (Array.isArray(inputs)) return inputs.map(item => [`the import ${nameOf(item, 'dest')}`, item]);
  return Object.entries(inputs as Readonly<Record<string, JsonValue>>).flatMap(([name, value]) => {
    if (name === 'imports') return items(value).map(item => [`the import ${nameOf(item, 'at')}`, item] as const);
    if (name === 'binds') return items(value).map(item => [`the bind ${nameOf(item, 'dest')}`, item] as const);
    if (name === 'environment') return Object.entries(value ?? {}).map(([key, text]) => [`the variable ${key}`, text]);
    return [[WORDS[name] ?? name, value] as const];
  }) as [string, JsonValue][];
}

const WORDS: Readonly<Record<string, string>> = {
  script: 'the script',
  name: 'the name of the image',
  cacheDirs: 'cache_dirs',
  stableIds: 'stable_ids',
  user: 'runtime_user',
};

function items(value: JsonValue): readonly JsonValue[] {
  return Array.isArray(value) ? value : [];
}

function nameOf(item: JsonValue, key: string): string {
  const name =
    typeof item === 'object' && item !== null ? (item as Readonly<Record<string, JsonValue>>)[key] : undefined;
  return typeof name === 'string' ? name : '';
}

function isInputs(value: unknown): value is Inputs {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
