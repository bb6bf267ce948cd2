import { digestFromHex } from '../core/digest.ts';
import { imagePath } from '../core/paths.ts';
import type { Import } from './model.ts';
import { entryOf, integerOf, oneOrMore, rangeIn, textOf, valueOf, wordOf } from './node-access.ts';
import { parseFileSource, type ParseContext } from './parse-source.ts';
import type { YamlMap, YamlNode } from './yaml-tree.ts';

/** `imports` and the deprecated `import` of an image, in one form. */
export function parseImports(image: YamlMap, name: string, context: ParseContext): Import[] {
  const current = oneOrMore(valueOf(image, 'imports'));
  const legacy = oneOrMore(valueOf(image, 'import'));
  const legacyKey = image.entries.get('import')?.key;
  if (current.length > 0 && legacy.length > 0) {
    const message = `layer '${name}' cannot have both 'import' and 'imports'`;
    context.problems.error('import-and-imports', message, legacyKey!, 'move everything to imports');
  } else if (legacy.length > 0) {
    const message = `'import' in layer '${name}' is deprecated`;
    const suggestion = 'write imports, and /stacker/imports instead of /stacker in run';
    context.problems.warning('import-deprecated', message, legacyKey!, suggestion);
  }
  const imports = [
    ...current.flatMap(item => parseImport(item, '/stacker/imports', context) ?? []),
    ...legacy.flatMap(item => parseImport(item, '/stacker', context) ?? []),
  ];
  warnOfSharedNames(imports, context);
  return imports;
}

function parseImport(node: YamlNode, mountPoint: Import['mountPoint'], context: ParseContext): Import | undefined {
  if (node.kind === 'list') return undefined;
  const none = { hash: undefined, dest: undefined, mode: undefined, uid: undefined, gid: undefined };
  const span = context.problems.span(node.range);
  const attributes = node.kind === 'map' ? attributesOf(node, context) : none;
  const common = { mountPoint, ...attributes, span };
  if (node.kind === 'map' && node.entries.has('content')) return inlineImport(node, common, context);
  const path = node.kind === 'map' ? valueOf(node, 'path') : node;
  const text = wordOf(path);
  if (path === undefined || text === undefined) {
    if (node.kind === 'map' && valueOf(node, 'path') === undefined) {
      context.problems.error('missing-key', "No 'path' entry found in import", node.range, 'write path or content');
    }
    return undefined;
  }
  const source = parseFileSource(text, context.directory, path.range, context);
  if (source === undefined) return undefined;
  const name = baseName(source.type === 'http' ? new URL(source.url).pathname : source.path, source.type === 'http');
  if (name === undefined && source.type === 'http') {
    context.problems.error('invalid-reference', `the URL names no file: ${text}`, path.range);
    return undefined;
  }
  // The whole root of an image has no name of its own.
  const fallback = source.type === 'image' ? source.image : 'rootfs';
  return { source, name: name ?? fallback, trailingSlash: text.endsWith('/'), ...common };
}

function inlineImport(
  map: YamlMap,
  common: Omit<Import, 'source' | 'name' | 'trailingSlash'>,
  context: ParseContext,
): Import | undefined {
  const { problems } = context;
  const contentKey = map.entries.get('content')!.key;
  if (map.entries.has('path')) {
    problems.error('import-source', "an import has either 'path' or 'content'", contentKey, 'remove one of them');
    return undefined;
  }
  const name = common.dest === undefined || common.dest.endsWith('/') ? undefined : baseName(common.dest, false);
  if (name === undefined) {
    if (common.dest !== undefined || !map.entries.has('dest')) {
      problems.error('missing-key', "an import with 'content' needs 'dest', the path of a file", rangeIn(map, 'dest'));
    }
    return undefined;
  }
  const content = textOf(valueOf(map, 'content')) ?? '';
  return { source: { type: 'content', content }, name, trailingSlash: false, ...common };
}

function attributesOf(map: YamlMap, context: ParseContext) {
  const { problems } = context;
  const hash = hashOf(map, context);
  const written = wordOf(valueOf(map, 'dest'));
  if (written !== undefined && !written.startsWith('/')) {
    const message = `'dest' path cannot be relative: ${written}`;
    problems.error('relative-path', message, rangeIn(map, 'dest'), `write /${written}`);
  }
  const dest = written?.startsWith('/') ? normalDest(written) : undefined;
  return { hash, dest, mode: modeOf(map, context), uid: ownerOf(map, 'uid'), gid: ownerOf(map, 'gid') };
}

/** Hex that happens to be a YAML number is a hash all the same. */
function hashOf(map: YamlMap, { problems }: ParseContext): Import['hash'] {
  const node = valueOf(map, 'hash');
  const text = wordOf(node);
  if (node?.kind !== 'scalar' || text === undefined) return undefined;
  const hex = text.toLowerCase().replace(/^sha256:/, '');
  if (/^[0-9a-f]{64}$/.test(hex)) return digestFromHex(hex);
  // The schema's pattern judges strings only.
  if (typeof node.value !== 'string')
    problems.error('hash-form', `hash is not a sha256 in hex (64 digits): ${text}`, node.range);
  return undefined;
}

/** Canonical, but for the trailing slash that means "into this directory". */
function normalDest(dest: string): string {
  const path = imagePath(dest);
  return path === '' ? '/' : `/${path}${/\/\.?$/.test(dest) ? '/' : ''}`;
}

/** -1 is how stackerfiles write "not set". */
function ownerOf(map: YamlMap, key: 'uid' | 'gid'): number | undefined {
  const id = integerOf(valueOf(map, key));
  return id === undefined || id < 0 ? undefined : id;
}

/** YAML 1.2 reads 0755 as decimal; stackerfiles mean octal, so the scalar's spelling decides. */
function modeOf(map: YamlMap, context: ParseContext): number | undefined {
  const entry = entryOf(map, 'mode');
  if (entry?.value.kind !== 'scalar') return undefined;
  const { value, source, plain, range } = entry.value;
  const octal = /^0?o?([0-7]{1,5})$/.exec(source)?.[1];
  const spelledOctal = octal !== undefined && (!plain || source.startsWith('0'));
  const mode = spelledOctal
    ? Number.parseInt(octal, 8)
    : plain && /^(?:[1-9]\d*|0x[0-9a-f]+)$/i.test(source)
      ? Number(value)
      : Number.NaN;
  if (!Number.isSafeInteger(mode) || mode < 0 || mode > 0o7777) {
    context.problems.error(
      'invalid-mode',
      `not a file mode: ${source.slice(0, 40)}`,
      range,
      'write it in octal, as 0755',
    );
    return undefined;
  }
  if (!spelledOctal && /^[0-7]{3}$/.test(source)) {
    const message = `mode ${source} is read as a decimal number, which is ${mode.toString(8).padStart(4, '0')} in octal`;
    context.problems.warning('decimal-mode', message, range, `write 0${source}`);
  }
  return mode;
}

/** Last component of a path; of a URL's path percent-decoded, unless that made it unfit for a file name. */
function baseName(path: string, decode: boolean): string | undefined {
  const last = path.replace(/\/+$/, '').split('/').at(-1) ?? '';
  let name = last;
  if (decode) {
    try {
      name = decodeURIComponent(last);
    } catch {
      name = last;
    }
    if (/[/\0]/.test(name)) name = last;
  }
  return name === '' || name === '.' || name === '..' ? undefined : name;
}

function warnOfSharedNames(imports: readonly Import[], context: ParseContext): void {
  const seen = new Set<string>();
  for (const { name, span } of imports) {
    const message = `two imports are called ${name}: the later one hides the earlier`;
    if (seen.has(name)) context.problems.warningAt('shared-import-name', message, span);
    seen.add(name);
  }
}
