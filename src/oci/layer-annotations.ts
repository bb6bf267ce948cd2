import { isDigest, type Digest } from '../core/digest.ts';
import { textOfByteString } from '../core/host-text.ts';
import type { RuntimeConfig } from './descriptor.ts';
import { parseImageConfig } from './parse-manifest.ts';

/** What a layer is in its image. */
export type LayerRole = 'base' | 'apply' | 'merge' | 'import' | 'overlay' | 'run' | 'update' | 'commit';

/** On a layer: its role. */
export const LAYER_ROLE = 'dev.stk.layer.role';
/** On a layer: root hash of the dm-verity tree at its end, in hex. */
export const VERITY_ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
/** On an applied layer: the name of the entry that brought it first. */
export const APPLY_NAME = 'dev.stk.apply.name';
/** On an applied layer: the reference as the recipe has it. */
export const APPLY_REF = 'dev.stk.apply.ref';
/** On an applied layer: digest of the manifest that it came from. */
export const APPLY_DIGEST = 'dev.stk.apply.digest';
/** On a merge or update layer: a JSON list of `[path, driver]`, at most `MOST_MERGED_PATHS`. */
export const MERGE_PATHS = 'dev.stk.merge.paths';
/** On a merge or update layer: how many paths were merged, in decimal. */
export const MERGE_COUNT = 'dev.stk.merge.count';
/** On a merge or update layer: accounts that got other ids, a JSON list of `RenumberedAccount`. */
export const MERGE_RENUMBERED = 'dev.stk.merge.renumbered';
/** On a merge or update layer: a JSON list of sentences about the merge that a person should know. */
export const MERGE_REMARKS = 'dev.stk.merge.remarks';
/** On a manifest: what the image applies, a JSON list of `AppliedEntry`. */
export const APPLY_LIST = 'dev.stk.apply';
/** On a manifest that an update made: digest of the manifest that it replaced. */
export const UPDATE_FROM = 'dev.stk.update.from';

/** On a manifest: the settings of the base's configuration, as JSON: what an update finds the image's own by. */
export const BASE_CONFIG = 'dev.stk.base.config';

const MOST_MERGED_PATHS = 200;
const MOST_CONFIG_CHARACTERS = 1 << 16;
const MOST_REMARKS = 50;
const MOST_REMARK_CHARACTERS = 500;
/** Of an annotation that is parsed: more than any image that stk writes. */
const MOST_LIST_CHARACTERS = 1 << 20;

/** One entry of `apply` in the recipe that made an image: enough to merge again without the recipe. */
export interface AppliedEntry {
  readonly name: string;
  readonly ref: string;
  /** Of the manifest that was applied. */
  readonly digest: Digest;
  /** The entry accepts an image that was built on another base. */
  readonly anyBase: boolean;
  /** Globs and resolutions, the first that matches decides. */
  readonly conflicts: readonly (readonly [glob: string, resolution: string])[];
  /** Its layers as they lie in the image, so that the image that was applied need not be asked for them again. */
  readonly held?: HeldStack | undefined;
}

/** How an applied image lies in the image that applies it. */
export interface HeldStack {
  /** How many layers of the base it stands on, from the bottom. */
  readonly shared: number;
  /** What it has above those, bottom up: each of them is a layer of the image. */
  readonly own: readonly Digest[];
}

/** The annotation for `BASE_CONFIG`; none where the base says nothing, or more than an annotation should hold. */
export function baseConfigAnnotation(config: RuntimeConfig | undefined): Record<string, string> {
  const text = config === undefined ? '' : JSON.stringify(config);
  return text === '' || text.length > MOST_CONFIG_CHARACTERS ? {} : { [BASE_CONFIG]: text };
}

/** Reads `BASE_CONFIG`; `undefined` where there is none that stk writes. */
export function parseBaseConfig(text: string | undefined): RuntimeConfig | undefined {
  if (text === undefined || text.length > MOST_CONFIG_CHARACTERS) return undefined;
  try {
    const config = JSON.parse(text) as unknown;
    const document = { architecture: '', os: '', rootfs: { type: 'layers', diff_ids: [] }, config };
    return parseImageConfig(Buffer.from(JSON.stringify(document)), BASE_CONFIG).config;
  } catch {
    return undefined;
  }
}

/** Value of `APPLY_LIST`. */
export function formatAppliedEntries(entries: readonly AppliedEntry[]): string {
  return JSON.stringify(
    entries.map(({ name, ref, digest, anyBase, conflicts, held }) => ({ name, ref, digest, anyBase, conflicts, held })),
  );
}

/** The entries of an image whose layers are others by digest; a digest that is not in the map stays. */
export function mapHeld(
  entries: readonly AppliedEntry[],
  digests: ReadonlyMap<Digest, Digest>,
): readonly AppliedEntry[] {
  return entries.map(entry => {
    const { held } = entry;
    if (held === undefined) return entry;
    return { ...entry, held: { ...held, own: held.own.map(digest => digests.get(digest) ?? digest) } };
  });
}

/** Annotations of an image whose layers become others by digest, as by a conversion: what they say of layers follows. */
export function followLayers<T extends Readonly<Record<string, string>> | undefined>(
  annotations: T,
  digests: ReadonlyMap<Digest, Digest>,
): T {
  const text = annotations?.[APPLY_LIST];
  const entries = text === undefined ? undefined : parseAppliedEntries(text);
  if (entries === undefined) return annotations;
  return { ...annotations, [APPLY_LIST]: formatAppliedEntries(mapHeld(entries, digests)) };
}

/** Reads `APPLY_LIST`; `undefined` where the value is not one that stk writes. */
export function parseAppliedEntries(text: string): readonly AppliedEntry[] | undefined {
  const value = parseList(text);
  if (value === undefined) return undefined;
  const entries: AppliedEntry[] = [];
  for (const item of value) {
    if (typeof item !== 'object' || item === null) return undefined;
    const { name, ref, digest, anyBase, conflicts, held } = item as Record<string, unknown>;
    if (typeof name !== 'string' || typeof ref !== 'string' || !isDigest(digest)) return undefined;
    if (typeof anyBase !== 'boolean' || !Array.isArray(conflicts) || !conflicts.every(isPair)) return undefined;
    if (held !== undefined && !isHeldStack(held)) return undefined;
    entries.push({ name, ref, digest, anyBase, conflicts, ...(held === undefined ? {} : { held }) });
  }
  return entries;
}

/** The annotations that say what a merge or update layer settled. Paths are in the form of `hostText`. */
export function mergeAnnotations(
  settled: readonly { readonly path: string; readonly driver: string }[],
  remarks: readonly { readonly text: string }[],
): Record<string, string> {
  const pairs = settled.slice(0, MOST_MERGED_PATHS).map(({ path, driver }) => [`/${textOfByteString(path)}`, driver]);
  const texts = remarks.slice(0, MOST_REMARKS).map(({ text }) => text.slice(0, MOST_REMARK_CHARACTERS));
  return {
    [MERGE_PATHS]: JSON.stringify(pairs),
    [MERGE_COUNT]: String(settled.length),
    ...(texts.length > 0 && { [MERGE_REMARKS]: JSON.stringify(texts) }),
  };
}

/** Reads `MERGE_REMARKS`; empty where the value is not one that stk writes. */
export function parseRemarks(text: string): readonly string[] {
  const value = parseList(text);
  return value?.every(each => typeof each === 'string') ? value : [];
}

/** An account, or a range of subordinate ids, that a merge has given another id. */
export interface RenumberedAccount {
  readonly kind: 'user' | 'group' | 'subuid' | 'subgid';
  readonly name: string;
  /** The image that brought it. */
  readonly image: string;
  readonly from: number;
  readonly to: number;
  /** Files that the layer holds because of that, and the bytes of their contents. */
  readonly paths: number;
  readonly bytes: number;
}

const RENUMBERED_KINDS: ReadonlySet<unknown> = new Set<RenumberedAccount['kind']>(['user', 'group', 'subuid', 'subgid']);

/** The annotation that says which accounts got other ids; none where none did. */
export function renumberedAnnotations(accounts: readonly RenumberedAccount[]): Record<string, string> {
  return accounts.length === 0 ? {} : { [MERGE_RENUMBERED]: JSON.stringify(accounts) };
}

/** Reads `MERGE_RENUMBERED`; empty where the value is not one that stk writes. */
export function parseRenumbered(text: string): readonly RenumberedAccount[] {
  const value = parseList(text);
  return value?.every(isRenumbered) ? value : [];
}

function isRenumbered(value: unknown): value is RenumberedAccount {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, name, image, ...numbers } = value as Record<string, unknown>;
  if (!RENUMBERED_KINDS.has(kind) || typeof name !== 'string' || typeof image !== 'string') return false;
  return ['from', 'to', 'paths', 'bytes'].every(key => Number.isSafeInteger(numbers[key]));
}

/** Reads `MERGE_PATHS`; empty where the value is not one that stk writes. */
export function parseMergedPaths(text: string): readonly (readonly [path: string, driver: string])[] {
  const value = parseList(text);
  return value?.every(isPair) ? value : [];
}

function isHeldStack(value: unknown): value is HeldStack {
  if (typeof value !== 'object' || value === null) return false;
  const { shared, own } = value as Record<string, unknown>;
  return Number.isSafeInteger(shared) && (shared as number) >= 0 && Array.isArray(own) && own.every(isDigest);
}

function parseList(text: string): unknown[] | undefined {
  if (text.length > MOST_LIST_CHARACTERS) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? (value as unknown[]) : undefined;
  } catch {
    return undefined;
  }
}

function isPair(value: unknown): value is readonly [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'string');
}
