import type { LayerStack } from '../../squashfs/layer-stack.ts';
import { changedSides } from '../changed-sides.ts';
import { parseDatabase, type PackageDatabase } from './dpkg-database.ts';
import { conflict, isConflict, readContents, type ConflictOutcome } from '../file-versions.ts';
import { oncePerMerge } from '../once-per-merge.ts';
import { isDamaged } from '../packages/stanzas.ts';

export const STATUS = 'var/lib/dpkg/status';
/** Ten times what a large desktop has. */
const MAX_STATUS_BYTES = 48 * 1024 * 1024;

/** The package databases of all trees; a tree that never had one has no packages. */
export interface PackageDatabases {
  readonly ancestor: PackageDatabase;
  /** Of every side, in their order: `ancestor` itself where it is the same, `undefined` where the side deleted it. */
  readonly sides: readonly (PackageDatabase | undefined)[];
}

/** A side whose database differs from the ancestor's. */
export interface PackageSide {
  readonly side: number;
  readonly name: string;
  readonly tree: LayerStack;
  readonly records: PackageDatabase;
}

/** Reads `/var/lib/dpkg/status` of all trees, or says which cannot be read. */
export const packageDatabases = oncePerMerge(
  async (path: typeof STATUS, context): Promise<PackageDatabases | ConflictOutcome> => {
    const versions = await context.versionsOf(path);
    const changed = changedSides(context, versions);
    const contents = await readContents({ path, ancestor: versions.ancestor, sides: changed }, MAX_STATUS_BYTES);
    if (isConflict(contents)) return contents;
    const damaged = (whose: string, what: string) => conflict(`the package database of ${whose} is damaged: ${what}`);
    const ancestor = parseDatabase(contents.ancestor?.toString('latin1') ?? '');
    if (isDamaged(ancestor)) return damaged('the base', ancestor.damage);
    const sides = context.sides.map((): PackageDatabase | undefined => ancestor);
    for (const { side, name, bytes } of contents.sides) {
      if (contents.ancestor !== undefined && bytes?.equals(contents.ancestor) === true) continue;
      const records = bytes && parseDatabase(bytes.toString('latin1'));
      if (records !== undefined && isDamaged(records)) return damaged(name, records.damage);
      sides[side] = records;
    }
    return { ancestor, sides };
  },
);
