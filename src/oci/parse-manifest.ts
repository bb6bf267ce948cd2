import { isDigest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import { SOURCE_TEXT, type Descriptor, type ImageConfig, type Index, type Manifest } from './descriptor.ts';
import { MediaType, isIndexType, isManifestType } from './media-types.ts';

/** More layers or manifests than this in one document is an attack, not an image. */
const MAX_ENTRIES = 10_000;

/** A manifest or an index, told apart by its media type or, where that is missing, by its members. */
export type ParsedManifest =
  | { readonly kind: 'manifest'; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: 'index'; readonly mediaType: string; readonly manifest: Index };

type JsonObject = Readonly<Record<string, unknown>> & { readonly [SOURCE_TEXT]?: string };

/** Parses bytes that came from outside. Throws `invalid-input` naming the field, `unsupported` for schema 1. */
export function parseManifest(bytes: Uint8Array, name: string): ParsedManifest {
  const object = parseObject(bytes, name);
  if (object['schemaVersion'] === 1) {
    throw new StkError('unsupported', `${name} is a Docker schema 1 manifest`, {
      hint: 'push the image again with a current tool: schema 1 was withdrawn in 2017',
    });
  }
  if (object['schemaVersion'] !== 2) throw bad(name, 'schemaVersion', 'is not 2');
  const declared = object['mediaType'];
  const isIndex = typeof declared === 'string' ? isIndexType(declared) : 'manifests' in object && !('config' in object);
  if (isIndex) {
    const mediaType = typeof declared === 'string' ? declared : MediaType.index;
    return { kind: 'index', mediaType, manifest: toIndex(object, name) };
  }
  const mediaType = typeof declared === 'string' ? declared : MediaType.manifest;
  if (!isManifestType(mediaType)) throw bad(name, 'mediaType', `is no image manifest but ${mediaType}`);
  return { kind: 'manifest', mediaType, manifest: toManifest(object, name) };
}

export function parseIndex(bytes: Uint8Array, name: string): Index {
  return toIndex(parseObject(bytes, name), name);
}

/** Parses an image configuration; members that stk does not know are kept, and the text of all. */
export function parseImageConfig(bytes: Uint8Array, name: string): ImageConfig {
  const object = parseObject(bytes, name);
  const rootfs = object['rootfs'] ?? {};
  if (!isObject(rootfs)) throw bad(name, 'rootfs', 'is not an object');
  const diffIds = listOf(rootfs['diff_ids'], name, 'rootfs.diff_ids');
  if (!diffIds.every(isDigest)) throw bad(name, 'rootfs.diff_ids', 'is not a list of digests');
  for (const field of ['architecture', 'os'] as const) {
    if (typeof object[field] !== 'string') throw bad(name, field, 'is not a string');
  }
  const config = object['config'] ?? undefined;
  if (config !== undefined) assertRuntimeConfig(config, name);
  const history = listOf(object['history'], name, 'history').map(entry => entry ?? {});
  if (!history.every(isObject)) throw bad(name, 'history', 'is not a list of objects');
  return {
    ...withoutNulls(object),
    rootfs: { type: 'layers', ...withoutNulls(rootfs), diff_ids: diffIds },
    ...(history.length === 0 ? {} : { history: history.map(withoutNulls) }),
    ...(config === undefined ? {} : { config: withoutNulls(config) }),
  } as unknown as ImageConfig;
}

function assertRuntimeConfig(config: unknown, name: string): asserts config is JsonObject {
  if (!isObject(config)) throw bad(name, 'config', 'is not an object');
  for (const field of ['Env', 'Entrypoint', 'Cmd']) {
    const value = config[field];
    if (value !== undefined && value !== null && !(Array.isArray(value) && value.every(isString))) {
      throw bad(name, `config.${field}`, 'is not a list of strings');
    }
  }
  for (const field of ['User', 'WorkingDir', 'StopSignal']) {
    const value = config[field];
    if (value !== undefined && value !== null && !isString(value)) throw bad(name, `config.${field}`, 'is not a string');
  }
  const labels = config['Labels'];
  if (labels !== undefined && labels !== null) assertStringMap(labels, name, 'config.Labels');
  for (const field of ['Volumes', 'ExposedPorts']) {
    const value = config[field];
    if (value !== undefined && value !== null && !isObject(value)) throw bad(name, `config.${field}`, 'is not a map');
  }
}

function toManifest(object: JsonObject, name: string): Manifest {
  const config = toDescriptor(object['config'], name, 'config');
  const layers = toDescriptors(object['layers'], name, 'layers');
  return { ...(withCommon(object, name) as unknown as Manifest), config, layers };
}

function toIndex(object: JsonObject, name: string): Index {
  const manifests = toDescriptors(object['manifests'], name, 'manifests');
  return { ...(withCommon(object, name) as unknown as Index), manifests };
}

/** What manifests and indexes have in common, checked. */
function withCommon(object: JsonObject, name: string): JsonObject {
  const { subject, ...present } = withoutNulls(object);
  if (present['annotations'] !== undefined) assertStringMap(present['annotations'], name, 'annotations');
  const type = present['artifactType'];
  if (type !== undefined && !isString(type)) throw bad(name, 'artifactType', 'is not a string');
  return subject === undefined ? present : { ...present, subject: toDescriptor(subject, name, 'subject') };
}

function toDescriptors(value: unknown, name: string, field: string): readonly Descriptor[] {
  const list = listOf(value, name, field);
  if (list.length > MAX_ENTRIES) throw bad(name, field, `has ${list.length} entries`);
  return list.map((entry, index) => toDescriptor(entry, name, `${field}[${index}]`));
}

/** A list; programs written in Go write an empty one as null, or leave it out. */
function listOf(value: unknown, name: string, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw bad(name, field, 'is not a list');
  return value;
}

/** Null is what such programs write, too, for what is not there. */
function withoutNulls(object: JsonObject): JsonObject {
  if (!Object.values(object).includes(null)) return object;
  const present = Object.entries(object).filter(([, value]) => value !== null);
  return Object.assign(Object.fromEntries(present), {
    ...(object[SOURCE_TEXT] === undefined ? {} : { [SOURCE_TEXT]: object[SOURCE_TEXT] }),
  });
}

function toDescriptor(entry: unknown, name: string, field: string): Descriptor {
  if (!isObject(entry)) throw bad(name, field, 'is not a descriptor');
  const value = withoutNulls(entry);
  if (!isString(value['mediaType'])) throw bad(name, `${field}.mediaType`, 'is not a string');
  if (!isDigest(value['digest'])) throw bad(name, `${field}.digest`, 'is not a sha256 digest');
  const size = value['size'];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw bad(name, `${field}.size`, 'is not a size in bytes');
  }
  if (value['annotations'] !== undefined) assertStringMap(value['annotations'], name, `${field}.annotations`);
  const platform = value['platform'];
  if (platform !== undefined && !(isObject(platform) && isString(platform['os']) && isString(platform['architecture']))) {
    throw bad(name, `${field}.platform`, 'names no os and architecture');
  }
  return value as unknown as Descriptor;
}

function assertStringMap(value: unknown, name: string, field: string): void {
  if (!isObject(value) || !Object.values(value).every(isString)) throw bad(name, field, 'is not a map of strings');
}

function parseObject(bytes: Uint8Array, name: string): JsonObject & { readonly [SOURCE_TEXT]: string } {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new StkError('invalid-input', `${name} is not JSON`, { cause });
  }
  if (!isObject(value)) throw new StkError('invalid-input', `${name} is not a JSON object`);
  return Object.assign(value, { [SOURCE_TEXT]: text });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function bad(name: string, field: string, problem: string): StkError {
  return new StkError('invalid-input', `${name}: ${field} ${problem}`, { facts: { field } });
}
