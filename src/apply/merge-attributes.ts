import type { Xattrs } from '../squashfs/xattrs.ts';
import type { ConflictReason, MergedAttributes, PathVersions, SideVersion } from './driver.ts';

interface Named {
  readonly name: string;
  readonly attributes: MergedAttributes;
}

/**
 * Merges mode, owner, group and each extended attribute on its own: what one side changed wins over what stayed, two
 * different changes clash. Sides that have nothing at the path do not count.
 */
export async function mergeAttributes(
  versions: Pick<PathVersions, 'ancestor' | 'sides'>,
): Promise<{ readonly attributes: MergedAttributes } | { readonly conflict: ConflictReason }> {
  const ancestor = versions.ancestor.node && (await attributesOf(versions.ancestor));
  const sides: Named[] = [];
  for (const side of versions.sides) {
    if (side.node !== undefined) sides.push({ name: side.name, attributes: await attributesOf(side) });
  }
  const clashes: string[] = [];
  const settle = <T>(
    what: string,
    of: (one: MergedAttributes) => T,
    same: (a: T, b: T) => boolean,
    show: (value: T) => string,
  ): T => {
    const before = ancestor && of(ancestor);
    const changed = sides.filter(({ attributes }) => ancestor === undefined || !same(of(attributes), before as T));
    const first = changed[0];
    if (first === undefined) return before as T;
    const other = changed.find(({ attributes }) => !same(of(attributes), of(first.attributes)));
    if (other)
      clashes.push(
        `${what}: ${show(of(first.attributes))} in ${first.name}, ${show(of(other.attributes))} in ${other.name}`,
      );
    return of(first.attributes);
  };
  const number = (a: number, b: number) => a === b;
  const mode = settle(
    'mode',
    one => one.mode,
    number,
    value => value.toString(8).padStart(4, '0'),
  );
  const uid = settle('owner', one => one.uid, number, String);
  const gid = settle('group', one => one.gid, number, String);
  const names = new Set(
    [ancestor, ...sides.map(side => side.attributes)].flatMap(one => [...(one?.xattrs.keys() ?? [])]),
  );
  const xattrs = new Map<string, Buffer>();
  for (const name of [...names].sort()) {
    const value = settle(
      name,
      one => one.xattrs.get(name),
      (a, b) => (a === undefined || b === undefined ? a === b : a.equals(b)),
      one => (one === undefined ? 'none' : `${one.length} bytes`),
    );
    if (value !== undefined) xattrs.set(name, value);
  }
  if (clashes.length === 0) return { attributes: { mode, uid, gid, xattrs } };
  return { conflict: { message: `attributes clash: ${clashes.join('; ')}`, remedies: ['last', 'first'] } };
}

async function attributesOf(version: Pick<SideVersion, 'node' | 'xattrs'>): Promise<MergedAttributes> {
  const { mode, uid, gid } = version.node!.inode;
  const xattrs: Xattrs = await version.xattrs();
  return { mode, uid, gid, xattrs };
}
