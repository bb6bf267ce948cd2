import { RecipeError, nearest, type Diagnostic } from '../core/diagnostics.ts';
import { isStkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Platform } from '../oci/descriptor.ts';
import { parseImageName } from '../oci/image-name.ts';
import { parsePlatform } from '../oci/platform.ts';
import { parseRegistryHost } from '../oci/reference.ts';
import type { ConflictResolution } from '../recipe/model.ts';
import { Problems } from '../recipe/problems.ts';
import { SourceText } from '../recipe/source-text.ts';
import { parseYamlTree, plainValue, type TextRange, type YamlNode } from '../recipe/yaml-tree.ts';
import type { Fleet, FleetImages } from './fleet-model.ts';
import { schemaKeys, validateFleetSchema, type SchemaError } from './fleet-validator.generated.ts';
import { registryPattern } from './registry-pattern.ts';

const MOST_ERRORS = 200;

export interface ParsedFleet {
  /** `undefined` if any diagnostic is an error. */
  readonly fleet: Fleet | undefined;
  readonly diagnostics: readonly Diagnostic[];
}

/** Whether a text is a fleet file rather than a recipe: its `images` is a list, which no image can be. */
export function isFleetText(text: string): boolean {
  return /^images\s*:\s*(?:#.*)?(?:\[|\r?\n(?:[ \t]*(?:#.*)?\r?\n)*[ \t]*-)/m.test(text);
}

/** Reads a fleet file. Everything wrong with it is collected; nothing is thrown, whatever the text. */
export function parseFleet(text: string, file: AbsPath): ParsedFleet {
  const problems = new Problems(new SourceText(file, text));
  const tree = parseYamlTree(text);
  for (const { rule, message, range, suggestion } of tree.problems) problems.error(rule, message, range, suggestion);
  if (tree.problems.length > 0) return { fleet: undefined, diagnostics: problems.diagnostics };
  const root = tree.root ?? { kind: 'scalar', value: null, source: '', plain: true, range: { start: 0, end: 0 } };
  const value = plainValue(root);
  for (const error of validateFleetSchema(value).slice(0, MOST_ERRORS)) report(error, root, problems);
  if (problems.hasErrors) return { fleet: undefined, diagnostics: problems.diagnostics };
  const fleet = toFleet(value as unknown as Written, file);
  for (const [index, { from }] of fleet.images.entries())
    checkFrom(from, rangeAt(root, ['images', String(index), 'from']), problems);
  return { fleet: problems.hasErrors ? undefined : fleet, diagnostics: problems.diagnostics };
}

/** As `parseFleet`; throws `RecipeError` with all problems. */
export function readFleet(text: string, file: AbsPath): Fleet {
  const { fleet, diagnostics } = parseFleet(text, file);
  if (fleet) return fleet;
  throw new RecipeError(diagnostics, new Map([[file, text]]));
}

/** The value of a valid file. */
interface Written {
  readonly images: readonly {
    readonly from: string;
    readonly tags?: string | readonly string[];
    readonly newest?: number;
    readonly exclude?: string | readonly string[];
    readonly platforms?: readonly string[];
    readonly tag?: string;
    readonly move?: 'always' | 'wait';
  }[];
  readonly apply?: Readonly<Record<string, string | null>>;
  readonly base?: boolean;
  readonly conflicts?: Readonly<Record<string, ConflictResolution>>;
  readonly limits?: {
    readonly parallel?: number;
    readonly images?: number;
    readonly failures?: number;
    readonly renumber?: string;
  };
  readonly canary?: { readonly images?: number; readonly check: string };
  readonly sign_key?: string;
  readonly require?: { readonly keys?: readonly string[]; readonly policy?: string };
  readonly tls_verify?: boolean;
}

function toFleet(written: Written, file: AbsPath): Fleet {
  const { apply, base = true, conflicts = {}, limits = {}, canary, require = {} } = written;
  return {
    file,
    images: written.images.map(toImages),
    apply: apply ? new Map(Object.entries(apply).map(([name, ref]) => [name, ref ?? undefined])) : 'all',
    base,
    conflicts: Object.entries(conflicts).map(([glob, resolution]) => ({ glob, resolution })),
    limits: {
      parallel: limits.parallel ?? 4,
      images: limits.images,
      failures: limits.failures ?? 0,
      renumber: limits.renumber,
    },
    canary: canary && { images: canary.images ?? 1, check: canary.check },
    signKey: written.sign_key,
    require: { keys: require.keys ?? [], policy: require.policy },
    tlsVerify: written.tls_verify ?? true,
  };
}

function toImages(written: Written['images'][number]): FleetImages {
  const list = (globs: string | readonly string[] | undefined) => (globs === undefined ? [] : [globs].flat());
  const tags = list(written.tags);
  return {
    from: written.from,
    tags: tags.length === 0 ? ['*'] : tags,
    newest: written.newest,
    exclude: list(written.exclude),
    platforms: (written.platforms ?? []).map((text): Platform => parsePlatform(text)),
    tag: written.tag,
    move: written.move ?? 'always',
  };
}

function checkFrom(from: string, range: TextRange, problems: Problems): void {
  const hint = 'write docker://HOST/REPOSITORY or oci:DIR; tags have a key of their own';
  try {
    const pattern = registryPattern(from);
    if (pattern) parseRegistryHost(pattern.host);
    else {
      const name = parseImageName(from);
      if (name.kind !== 'oci' || name.tag !== undefined || name.digest !== undefined || name.path !== undefined) {
        problems.error('invalid-value', `from names no place of images: ${from}`, range, hint);
      }
    }
  } catch (error) {
    if (!isStkError(error)) throw error;
    problems.error('invalid-value', error.message, range, hint);
  }
}

function report(error: SchemaError, root: YamlNode, problems: Problems): void {
  const path = error.instancePath.split('/').slice(1).map(unescaped);
  const range = rangeAt(root, path);
  const label = path.length === 0 ? 'the file' : path.join('.');
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty']);
      const place = path.map(part => (/^\d+$/.test(part) ? '[]' : part)).join('/');
      const known = place === '' ? TOP_KEYS : (schemaKeys[place] ?? []);
      const near = nearest(key, known);
      const suggestion = near === undefined ? `the keys are ${known.join(', ')}` : `did you mean ${near}?`;
      return problems.error('unknown-directive', `${label}: unknown key ${key}`, keyAt(root, path, key), suggestion);
    }
    case 'required':
      return problems.error('missing-key', `${label} needs ${String(error.params['missingProperty'])}`, range);
    case 'type':
      return problems.error('invalid-type', `${label} must be ${[error.params['type']].flat().join(' or ')}`, range);
    case 'enum': {
      const values = [error.params['allowedValues']].flat().join(', ');
      return problems.error('invalid-value', `${label} must be one of ${values}`, range);
    }
    case 'minimum':
    case 'maximum': {
      const bound = `${error.keyword === 'minimum' ? 'at least' : 'at most'} ${String(error.params['limit'])}`;
      return problems.error('invalid-value', `${label} must be ${bound}`, range);
    }
    default:
      return problems.error('invalid-value', `${label} is empty or malformed`, range);
  }
}

const TOP_KEYS = ['images', 'apply', 'base', 'conflicts', 'limits', 'canary', 'sign_key', 'require', 'tls_verify'];

function unescaped(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** Where the value of a path stands, or as much of the path as there is. */
function rangeAt(root: YamlNode, path: readonly string[]): TextRange {
  return nodeAt(root, path).range;
}

function keyAt(root: YamlNode, path: readonly string[], key: string): TextRange {
  const node = nodeAt(root, path);
  return (node.kind === 'map' ? node.entries.get(key)?.key : undefined) ?? node.range;
}

function nodeAt(root: YamlNode, path: readonly string[]): YamlNode {
  let node = root;
  for (const part of path) {
    const next =
      node.kind === 'list' ? node.items[Number(part)] : node.kind === 'map' ? node.entries.get(part)?.value : undefined;
    if (next === undefined) return node;
    node = next;
  }
  return node;
}
