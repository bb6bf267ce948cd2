import type { LayerStack } from '../../squashfs/layer-stack.ts';

const INFO = 'var/lib/dpkg/info';
const MAX_LIST_BYTES = 32 * 1024 * 1024;

/** Which packages of a tree list each of the paths, as dpkg has them; a package without a list has no files. */
export async function packagesListing(
  tree: LayerStack | undefined,
  paths: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const found = new Map<string, Set<string>>();
  const directory = await tree?.lookup(INFO, signal);
  if (tree === undefined || directory?.inode.type !== 'directory' || paths.size === 0) return found;
  for await (const { name, node } of tree.readDirectory(directory, signal)) {
    if (!name.endsWith('.list') || node.inode.type !== 'file' || node.inode.size > MAX_LIST_BYTES) continue;
    const text = (await tree.readFile(node, { maxBytes: MAX_LIST_BYTES, ...(signal && { signal }) })).toString(
      'latin1',
    );
    const packageName = name.slice(0, -'.list'.length).split(':')[0]!;
    for (const line of text.split('\n')) {
      if (!paths.has(line)) continue;
      const packages = found.get(line);
      if (packages) packages.add(packageName);
      else found.set(line, new Set([packageName]));
    }
  }
  return found;
}
