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
  const isIndex = typeof declared === 'string' ? isIndexType(declared) : Array.isArray(object['manifests']);
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
  const rootfs = object['rootfs'];
  if (!isObject(rootfs) || !Array.isArray(rootfs['diff_ids']) || !rootfs['diff_ids'].every(isDigest)) {
    throw bad(name, 'rootfs.diff_ids', 'is not a list of digests');
  }
  for (const field of ['architecture', 'os'] as const) {
    if (typeof object[field] !== 'string') throw bad(name, field, 'is not a string');
  }
  const config = object['config'];
  if (config !== undefined && config !== null) assertRuntimeConfig(config, name);
  const history = object['history'];
  if (history !== undefined && history !== null && !(Array.isArray(history) && history.every(isObject))) {
    throw bad(name, 'history', 'is not a list of objects');
  }
  // Docker writes null where it means absent.
  const present = Object.entries(object).filter(([, value]) => value !== null);
  return { ...(Object.fromEntries(present) as unknown as ImageConfig), [SOURCE_TEXT]: object[SOURCE_TEXT] };
}

function assertRuntimeConfig(config: unknown, name: string): void {
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
  assertDescriptor(object['config'], name, 'config');
  assertDescriptors(object['layers'], name, 'layers');
  assertCommon(object, name);
  return object as unknown as Manifest;
}

function toIndex(object: JsonObject, name: string): Index {
  assertDescriptors(object['manifests'], name, 'manifests');
  assertCommon(object, name);
  return object as unknown as Index;
}

function assertCommon(object: JsonObject, name: string): void {
  if (object['annotations'] !== undefined) assertStringMap(object['annotations'], name, 'annotations');
  if (object['subject'] !== undefined) assertDescriptor(object['subject'], name, 'subject');
  const type = object['artifactType'];
  if (type !== undefined && !isString(type)) throw bad(name, 'artifactType', 'is not a string');
}

function assertDescriptors(value: unknown, name: string, field: string): asserts value is readonly Descriptor[] {
  if (!Array.isArray(value)) throw bad(name, field, 'is not a list');
  if (value.length > MAX_ENTRIES) throw bad(name, field, `has ${value.length} entries`);
  for (const [index, entry] of value.entries()) assertDescriptor(entry, name, `${field}[${index}]`);
}

function assertDescriptor(value: unknown, name: string, field: string): asserts value is Descriptor {
  if (!isObject(value)) throw bad(name, field, 'is not a descriptor');
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
