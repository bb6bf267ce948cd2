import { imagePath } from '../../core/paths.ts';
import type { LayerStack, MergedNode } from '../../squashfs/layer-stack.ts';
import type { MergeContext } from '../driver.ts';
import { infoStems, type PackageRecord } from './dpkg-database.ts';
import { mergedDiversions } from './dpkg-diversions.ts';

/** Control files that dpkg keeps of a package. */
const INFO_KINDS = [
  'list',
  'md5sums',
  'conffiles',
  'preinst',
  'postinst',
  'prerm',
  'postrm',
  'triggers',
  'shlibs',
  'symbols',
  'templates',
  'config',
] as const;

const MAX_LIST_BYTES = 32 * 1024 * 1024;

/** A side's record of a package; without one, the side has no files of it. */
interface PackageOfSide {
  readonly side: number;
  readonly record: PackageRecord | undefined;
}

/**
 * Where the files that a package has on any of the sides lie in the merged tree, its control files included; paths without
 * symlinks in the form of `imagePath`. Directories are left out: packages share them.
 */
export async function filesOfPackage(
  packages: readonly PackageOfSide[],
  context: MergeContext,
): Promise<readonly string[]> {
  const paths = new Set<string>();
  const { signal } = context;
  const diversions = await mergedDiversions(context);
  for (const { side, record } of packages) {
    const { tree } = context.sides[side]!;
    if (record === undefined || tree === undefined) continue;
    for (const stem of infoStems(record)) {
      for (const kind of INFO_KINDS) paths.add(`var/lib/dpkg/info/${stem}.${kind}`);
    }
    const parents = new Parents(tree, signal);
    for (const listed of await listOf(tree, record, signal)) {
      // Files of the package will lie elsewhere where another package puts its own there.
      const diversion = diversions.get(listed);
      const path = imagePath(diversion && diversion.by !== record.name ? diversion.to : listed);
      if (path === '') continue;
      const { at, node } = await parents.find(path);
      if (node?.inode.type !== 'directory') paths.add(at);
    }
  }
  return [...paths];
}

/** Paths of a package's files, as dpkg has them; none where it has no list. */
export async function listOf(
  tree: LayerStack,
  record: PackageRecord,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  for (const stem of infoStems(record)) {
    const text = await textOf(tree, `var/lib/dpkg/info/${stem}.list`, signal);
    if (text !== undefined) return text.split('\n').filter(line => line.startsWith('/'));
  }
  return [];
}

async function textOf(tree: LayerStack, path: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  const node = await tree.lookup(path, signal);
  if (node?.inode.type !== 'file') return undefined;
  return (await tree.readFile(node, { maxBytes: MAX_LIST_BYTES, ...(signal && { signal }) })).toString('latin1');
}

/** Finds nodes with the symlinks on the way to them followed, such as those of a merged `/usr`. */
class Parents {
  readonly #tree: LayerStack;
  readonly #signal: AbortSignal | undefined;
  readonly #known = new Map<string, { readonly path: string; readonly node: MergedNode } | undefined>();

  constructor(tree: LayerStack, signal: AbortSignal | undefined) {
    this.#tree = tree;
    this.#signal = signal;
  }

  /** Where the path really is, and what is there; a path into nothing stays as it is. */
  async find(path: string): Promise<{ readonly at: string; readonly node: MergedNode | undefined }> {
    const slash = path.lastIndexOf('/');
    const directory = slash < 0 ? '' : path.slice(0, slash);
    if (!this.#known.has(directory)) this.#known.set(directory, await this.#tree.resolve(directory, this.#signal));
    const parent = this.#known.get(directory);
    if (parent === undefined) return { at: path, node: undefined };
    const name = path.slice(slash + 1);
    const at = parent.path === '' ? name : `${parent.path}/${name}`;
    return { at, node: await this.#tree.child(parent.node, name, this.#signal) };
  }
}
