import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { readdir } from '../host/files.ts';
import type { LayerEntry } from '../layer/pack-entries.ts';
import type { OverlayDir } from '../recipe/model.ts';
import type { KnownImport } from '../sources/imports.ts';

/**
 * Where an import with `dest` goes: directory `d` to `/x/` makes `/x/d`; `d` to `/x`, and `d/` anywhere, copy the
 * contents into `/x`; a file to `/x/` makes `/x/file`, to `/x` makes `/x`.
 */
export async function importEntries(
  known: KnownImport,
  signal?: AbortSignal,
  onWarning?: (text: string) => void,
): Promise<LayerEntry[]> {
  const { dest = '/', uid, gid, mode, name, trailingSlash } = known.import;
  const source = await known.stage(signal, onWarning);
  const owner = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
  const bits = mode === undefined ? {} : { mode };
  const into = dest.endsWith('/');
  if (known.tree.type === 'file') {
    const target = into ? path.posix.join(dest, name) : dest;
    return [{ path: target, source: { type: 'host', path: source }, ...owner, ...bits }];
  }
  if (into && !trailingSlash) {
    return [{ path: path.posix.join(dest, name), source: { type: 'host', path: source }, ...owner, ...bits }];
  }
  return (await contents(source, dest)).map(entry => ({ ...entry, ...owner }));
}

/** The content of an overlay directory below its `dest`, owned by root. */
export async function overlayEntries(directory: OverlayDir): Promise<LayerEntry[]> {
  return contents(directory.source, directory.dest);
}

async function contents(source: AbsPath, dest: string): Promise<LayerEntry[]> {
  const names = (await readdir(source)).sort();
  return names.map(name => ({
    path: path.posix.join(dest, name),
    source: { type: 'host', path: `${source}/${name}` as AbsPath },
  }));
}
