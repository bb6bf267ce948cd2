import type { MergeContext, MergeDriver, MergedView, Outcome, PathVersions, Revision } from '../driver.ts';
import { mergePemBundles, parsePemBundle } from './ca-bundle.ts';
import { conflict, isConflict, readContents, shown, textOutcome, type ConflictOutcome } from '../file-versions.ts';
import { findTool, hasTool } from './generated-tools.ts';
import { libraryCacheOf, mergeLibraryCaches } from './ld-so-cache.ts';
import { isPythonCache, mergePythonCache } from './python-cache.ts';

const LIBRARY_CACHE = 'etc/ld.so.cache';
const MOST_CACHE_BYTES = 16 * 1024 * 1024;

/** Bundles of certificates where distributions keep them. */
const CA_BUNDLE =
  /^(?:etc\/ssl\/(?:certs\/ca-certificates\.crt|cert\.pem|ca-bundle\.pem)|etc\/pki\/tls\/certs\/ca-bundle(?:\.trust)?\.crt|etc\/pki\/ca-trust\/extracted\/(?:pem|openssl)\/[^/]+|var\/lib\/ca-certificates\/ca-bundle\.pem|usr\/share\/pki\/[^/]+\/[^/]*bundle[^/]*)$/;

/** Caches that programs do without: they look at the originals instead. */
const DISPENSABLE =
  /^(?:var\/cache\/ldconfig\/aux-cache|var\/cache\/fontconfig\/.*|usr\/lib(?:32|64|\/[^/]+)?\/gconv\/gconv-modules\.cache|usr\/share\/icons\/[^/]+\/icon-theme\.cache|usr\/share\/icons\/[^/]+\/\.icon-theme\.cache)$/;

/**
 * Files that programs make of others. What stk can compute itself it does (the cache of libraries, bundles of
 * certificates), what nobody misses is dropped, the rest is made anew by the image's own program. Also asked where a recipe
 * wants any path to be regenerated.
 */
export const generated: MergeDriver = {
  name: 'generated',
  claims: path => isPythonCache(path) || DISPENSABLE.test(path) || CA_BUNDLE.test(path) || hasTool(path),
  async merge(versions, context) {
    const { path, wish } = versions;
    if (isPythonCache(path)) return mergePythonCache(versions, context);
    if (DISPENSABLE.test(path)) return { type: 'drop' };
    if (CA_BUNDLE.test(path)) return mergeCaBundle(versions);
    if (path === LIBRARY_CACHE && wish !== 'regenerate') return mergeLibraryCache(versions, context);
    return regenerate(versions, context);
  },
  revise: reviseLibraryCache,
};

/**
 * Libraries that the merge left out, such as those of the older of two versions of a package, leave the cache as well, and
 * so do links to them that ldconfig made, as it would take them away itself.
 */
async function reviseLibraryCache(merged: MergedView, context: MergeContext): Promise<readonly Revision[]> {
  if (merged.isMadeAnew(LIBRARY_CACHE) || !merged.deleted.some(path => path.includes('.so'))) return [];
  const place = await merged.find(LIBRARY_CACHE, false);
  if (place?.node.inode.type !== 'file' || place.node.inode.size > MOST_CACHE_BYTES) return [];
  const isThere = async (path: string) => (await merged.find(path, true))?.node.inode.type === 'file';
  const cache = await libraryCacheOf(await place.read(MOST_CACHE_BYTES), isThere);
  if (cache === 'unknown') {
    const command = (await findTool(LIBRARY_CACHE, context))?.command;
    return command === undefined ? [] : [{ path: LIBRARY_CACHE, outcome: { type: 'regenerate', command } }];
  }
  if (cache.missing.length === 0) return [];
  const revisions: Revision[] = [{ path: LIBRARY_CACHE, outcome: { type: 'content', bytes: cache.bytes } }];
  for (const path of new Set(cache.missing)) {
    const link = await merged.find(path, false);
    if (link?.node.inode.type === 'symlink') revisions.push({ path: link.path, outcome: { type: 'drop' } });
  }
  return revisions;
}

async function mergeLibraryCache(versions: PathVersions, context: MergeContext): Promise<Outcome> {
  const contents = await readContents(versions);
  if (isConflict(contents)) return contents;
  const sides = contents.sides.flatMap(({ bytes }) => bytes ?? []);
  const all = sides.length === contents.sides.length;
  const merged = all ? mergeLibraryCaches(contents.ancestor, sides) : 'unknown';
  return merged === 'unknown' ? regenerate(versions, context) : { type: 'content', bytes: merged };
}

async function regenerate({ path }: PathVersions, context: MergeContext): Promise<Outcome> {
  const tool = await findTool(path, context);
  if (tool === undefined) return conflict(`no program is known that makes /${shown(path)} anew`);
  if (tool.command !== undefined) return { type: 'regenerate', command: tool.command };
  return conflict(`/${shown(path)} has to be made anew by ${tool.name}, which the image does not have`);
}

async function mergeCaBundle(versions: PathVersions): Promise<Outcome | ConflictOutcome> {
  const contents = await readContents(versions);
  if (isConflict(contents)) return contents;
  const parsed = [];
  for (const { name, bytes } of contents.sides) {
    if (bytes === undefined) return conflict(`${name} deleted /${shown(versions.path)}, which others changed`);
    const bundle = parsePemBundle(bytes.toString('latin1'));
    if ('problem' in bundle) return conflict(`/${shown(versions.path)} of ${name}: ${bundle.problem}`);
    parsed.push(bundle);
  }
  const ancestor = parsePemBundle(contents.ancestor?.toString('latin1') ?? '');
  if ('problem' in ancestor) return conflict(`/${shown(versions.path)} of the base: ${ancestor.problem}`);
  return textOutcome(mergePemBundles(ancestor, parsed));
}
