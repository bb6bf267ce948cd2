import { absPath, imagePath } from '../core/paths.ts';
import type { Bind, CacheDir, OverlayDir, SecretMount } from './model.ts';
import { itemsOf, textOf, valueOf, wordOf } from './node-access.ts';
import type { ParseContext } from './parse-source.ts';
import type { YamlNode } from './yaml-tree.ts';

/** `{source, dest}`, `source` or `source -> dest`. */
export function parseOverlayDirs(node: YamlNode | undefined, context: ParseContext): OverlayDir[] {
  return itemsOf(node).flatMap(item => {
    const pair = sourceAndDest(item, 'overlay_dirs', context);
    if (pair === undefined) return [];
    const source = absPath(pair.source, context.directory);
    return [{ source, dest: `/${imagePath(pair.dest ?? '/')}`, span: context.problems.span(item.range) }];
  });
}

/** `/a`, `a -> /b` or `{source, dest, cache}`; a relative destination resolves like the source. */
export function parseBinds(node: YamlNode | undefined, context: ParseContext): Bind[] {
  return itemsOf(node).flatMap(item => {
    const pair = sourceAndDest(item, 'binds', context);
    if (pair === undefined) return [];
    const source = absPath(pair.source, context.directory);
    const dest = absPath(pair.dest ?? pair.source, context.directory);
    if (dest === '/') {
      context.problems.error('invalid-value', 'a bind cannot cover the root directory', item.range);
      return [];
    }
    const ignored = item.kind === 'map' && textOf(valueOf(item, 'cache')) === 'ignore';
    return [
      {
        source,
        dest,
        cache: ignored ? ('ignore' as const) : ('hash' as const),
        span: context.problems.span(item.range),
      },
    ];
  });
}

function sourceAndDest(
  item: YamlNode,
  key: string,
  context: ParseContext,
): { readonly source: string; readonly dest: string | undefined } | undefined {
  if (item.kind === 'map') {
    const source = wordOf(valueOf(item, 'source'));
    return source === undefined ? undefined : { source, dest: wordOf(valueOf(item, 'dest')) };
  }
  const text = wordOf(item);
  if (text === undefined) return undefined;
  const words = text.split(/\s+/).filter(word => word !== '');
  const [source, arrow, dest] = words;
  if (words.length === 1 && source !== undefined) return { source, dest: undefined };
  if (words.length === 3 && source !== undefined && arrow === '->') return { source, dest };
  const message = key === 'binds' ? `invalid Bind: ${text}` : `invalid item of ${key}: ${text}`;
  const suggestion = 'write SOURCE, SOURCE -> DEST, or a map with source and dest where a path holds spaces';
  context.problems.error('invalid-value', message, item.range, suggestion);
  return undefined;
}

/** An id or `{id, dest, env}`. */
export function parseSecrets(node: YamlNode | undefined, context: ParseContext): SecretMount[] {
  return itemsOf(node).flatMap(item => {
    const id = wordOf(item.kind === 'map' ? valueOf(item, 'id') : item);
    if (id === undefined) return [];
    const dest = item.kind === 'map' ? wordOf(valueOf(item, 'dest')) : undefined;
    const env = item.kind === 'map' ? wordOf(valueOf(item, 'env')) : undefined;
    const span = context.problems.span(item.range);
    return [{ id, dest: dest === undefined ? `/run/secrets/${id}` : `/${imagePath(dest)}`, env, span }];
  });
}

/** A path or `{path, id, sharing}`. */
export function parseCacheDirs(node: YamlNode | undefined, context: ParseContext): CacheDir[] {
  return itemsOf(node).flatMap(item => {
    const written = wordOf(item.kind === 'map' ? valueOf(item, 'path') : item);
    if (written === undefined) return [];
    const path = `/${imagePath(written)}`;
    if (path === '/') {
      context.problems.error('invalid-value', 'a cache directory cannot be the root directory', item.range);
      return [];
    }
    const id = (item.kind === 'map' ? wordOf(valueOf(item, 'id')) : undefined) ?? path;
    const sharing = item.kind === 'map' ? textOf(valueOf(item, 'sharing')) : undefined;
    const mode = sharing === 'locked' || sharing === 'private' ? sharing : 'shared';
    return [{ path, id, sharing: mode, span: context.problems.span(item.range) }];
  });
}
