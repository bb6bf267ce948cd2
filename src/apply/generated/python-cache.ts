import type { MergeContext, Outcome, PathVersions, Version } from '../driver.ts';

const CACHED = /^((?:.*\/)?)__pycache__\/([^/]+)\.[^./]+(?:\.opt-[^./]+)?\.pyc$/;
const HEADER_BYTES = 16;
const MAX_SOURCE_BYTES = 16 * 1024 * 1024;

/** Whether a path is byte code that Python made of the source beside it (PEP 3147). */
export function isPythonCache(path: string): boolean {
  return CACHED.test(path);
}

/**
 * The last side's byte code that belongs to the source which the merged tree has, by the time and size of PEP 552's header;
 * nothing where none does, or where the sources differ: Python does without.
 */
export async function mergePythonCache({ path, sides }: PathVersions, context: MergeContext): Promise<Outcome> {
  const [, directory = '', module = ''] = CACHED.exec(path) ?? [];
  const source = await context.versionsOf(`${directory}${module}.py`);
  const shown = source.sides.findLast(side => side.node !== undefined && differs(side, source.ancestor));
  const visible: Version = shown ?? source.ancestor;
  if (!(await areEqual(source.ancestor, source.sides))) return { type: 'drop' };
  if (visible.node?.inode.type !== 'file') return { type: 'drop' };
  const { mtime, size } = visible.node.inode;
  for (const side of sides.toReversed()) {
    if (side.node?.inode.type !== 'file' || side.node.inode.size < HEADER_BYTES) continue;
    if (side.node.inode.size > MAX_SOURCE_BYTES) continue;
    const header = await side.read(MAX_SOURCE_BYTES);
    // Byte code that names a hash instead of a time is trusted, or checked, by Python itself.
    const byHash = (header.readUInt32LE(4) & 1) === 1;
    const fits = header.readUInt32LE(8) === mtime >>> 0 && header.readUInt32LE(12) === size;
    if (byHash || fits) return { type: 'take', side: side.side };
  }
  return { type: 'drop' };
}

/** Whether a side has its own file: another time is enough. */
function differs(side: Version, ancestor: Version): boolean {
  const [a, b] = [side.node?.inode, ancestor.node?.inode];
  return b === undefined || a?.mtime !== b.mtime || a.size !== b.size;
}

/** Whether all sides that have a source of their own have the same, and nobody deleted it. */
async function areEqual(ancestor: Version, sides: readonly Version[]): Promise<boolean> {
  const own = sides.filter(side => side.node !== undefined && differs(side, ancestor));
  if (ancestor.node !== undefined && sides.some(({ node }) => node === undefined)) return false;
  const files = own.flatMap(({ node }) => (node?.inode.type === 'file' ? node.inode : []));
  if (files.length !== own.length) return false;
  if (new Set(files.map(({ size }) => size)).size > 1 || files.some(({ size }) => size > MAX_SOURCE_BYTES))
    return false;
  if (own.length < 2) return true;
  const first = await own[0]!.read(MAX_SOURCE_BYTES);
  for (const other of own.slice(1)) if (!first.equals(await other.read(MAX_SOURCE_BYTES))) return false;
  return true;
}
