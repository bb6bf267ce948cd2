import { imagePath } from '../core/paths.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { Inventory } from './inventory.ts';
import { listedPaths } from './listed-paths.ts';

/**
 * Paths of all that is no directory and belongs to no package, ascending by directory: neither listed by a package of the
 * distribution, nor part of a language's package that the inventory has.
 */
export async function unownedPaths(
  tree: LayerStack,
  inventory: Inventory,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const paths: string[] = [];
  const links = new Map<string, string>();
  for await (const { path, node } of tree.walk(signal ? { signal } : {})) {
    if (node.inode.type === 'directory') continue;
    paths.push(path);
    if (node.inode.type === 'symlink') links.set(path, node.inode.target);
  }
  const listed = await listedPaths(tree, links, signal);
  const { files, directories } = await languageFiles(tree, inventory, signal);
  const isBelow = (path: string) => {
    for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
      if (directories.has(path.slice(0, slash))) return true;
    }
    return false;
  };
  return paths.filter(path => !listed.has(path) && !files.has(path) && !isBelow(path));
}

const MAX_RECORD_BYTES = 16 * 1024 * 1024;

/** What languages' packages consist of: npm's whole directories, what `RECORD` of Python's lists, or the file itself. */
async function languageFiles(tree: LayerStack, inventory: Inventory, signal: AbortSignal | undefined) {
  const files = new Set<string>();
  const directories = new Set<string>();
  for (const { type, path } of inventory.packages) {
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (type === 'npm') directories.add(directory);
    else if (type !== 'deb' && type !== 'apk' && type !== 'rpm') files.add(path);
    if (type !== 'pypi' || !directory.endsWith('-info')) continue;
    directories.add(directory);
    const record = await tree.lookup(`${directory}/RECORD`, signal);
    if (record?.inode.type !== 'file' || record.inode.size > MAX_RECORD_BYTES) continue;
    const site = directory.slice(0, Math.max(0, directory.lastIndexOf('/')));
    for (const line of (await tree.readFile(record, signal ? { signal } : {})).toString('latin1').split('\n')) {
      const [, quoted, plain = ''] = /^(?:"((?:[^"]|"")*)"|([^,]*)),/.exec(line) ?? [];
      const name = quoted?.replaceAll('""', '"') ?? plain;
      if (name !== '') files.add(imagePath(name.startsWith('/') ? name : `${site}/${name}`));
    }
  }
  return { files, directories };
}
