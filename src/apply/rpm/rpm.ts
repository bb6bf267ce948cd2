import { imagePath } from '../../core/paths.ts';
import type { MergeContext, MergeDriver, Outcome } from '../driver.ts';
import { changedSides } from '../changed-sides.ts';
import {
  conflict,
  isConflict,
  inseparable,
  readContents,
  shown,
  takeLast,
  type ConflictOutcome,
  type FileContents,
} from '../file-versions.ts';
import { oncePerMerge } from '../once-per-merge.ts';
import { choosePackages, surveyChoice, type PackageChoice } from '../packages/package-choice.ts';
import { readRpmDatabase, type RpmDatabase, type RpmPackage } from './rpm-database.ts';
import { rewriteRpmDatabase } from './rpm-rewrite.ts';
import { compareRpmVersions } from './rpm-version.ts';

/** Where distributions keep the database; the last for images of rpm-ostree. */
const DIRECTORIES = ['var/lib/rpm', 'usr/lib/sysimage/rpm', 'usr/share/rpm'] as const;
const PATHS = /^(?:var\/lib\/rpm|usr\/lib\/sysimage\/rpm|usr\/share\/rpm)\/([^/]+)$/;
const MAX_BYTES = 256 * 1024 * 1024;

/**
 * `rpmdb.sqlite`: package headers with their rows in the tables that find them, three-way. Nothing of the image runs. The
 * older formats of the database are a conflict, and so is one whose write-ahead log was not written back.
 */
export const rpm: MergeDriver = {
  name: 'rpm',
  claims: path => PATHS.test(path),
  async merge(versions, context) {
    const file = PATHS.exec(versions.path)?.[1];
    switch (file) {
      case 'rpmdb.sqlite':
        return inseparable(await mergedDatabase(versions.path, context));
      case 'rpmdb.sqlite-wal':
      case 'rpmdb.sqlite-shm':
        // An empty log needs no index, and a full one was a conflict of the database.
        return { type: 'drop' };
      case 'Packages':
      case 'Packages.db': {
        const format = file === 'Packages' ? 'Berkeley DB' : 'ndb';
        return conflict(
          `/${shown(versions.path)} is a package database in the format ${format}, which cannot be merged; convert it to sqlite in the base, with rpmdb --rebuilddb`,
          { remedies: [] },
        );
      }
      default:
        return takeLast(versions);
    }
  },
  async survey(context) {
    for (const directory of DIRECTORIES) {
      const path = `${directory}/rpmdb.sqlite`;
      const analysis = await analyse(path, context);
      if (analysis !== undefined && !isConflict(analysis)) return surveyChoice(path, analysis.choice, context);
    }
    return { owners: new Map(), conflicts: [] };
  },
};

interface Analysis {
  readonly contents: FileContents;
  /** Of the sides in `contents`, in their order. */
  readonly databases: readonly RpmDatabase[];
  readonly choice: PackageChoice<PlacedPackage>;
}

interface PlacedPackage extends RpmPackage {
  /** Position among the sides; -1: the ancestor. */
  readonly from: number;
}

/** What becomes of the packages; `undefined` where fewer than two sides changed the database. */
const analyse = oncePerMerge(
  async (path: string, context: MergeContext): Promise<Analysis | ConflictOutcome | undefined> => {
    const versions = await context.versionsOf(path);
    const sides = changedSides(context, versions);
    if (sides.length < 2) return undefined;
    const contents = await readContents({ path, ancestor: versions.ancestor, sides }, MAX_BYTES);
    if (isConflict(contents)) return contents;
    const log = await unwrittenLog(path, context, new Set(sides.map(({ side }) => side)));
    if (log) return log;
    const ancestor = contents.ancestor ? readRpmDatabase(contents.ancestor) : { packages: [], indexTables: [] };
    if ('problem' in ancestor) return conflict(`/${shown(path)} of the base is damaged: ${ancestor.problem}`);
    const databases: RpmDatabase[] = [];
    for (const { name, bytes } of contents.sides) {
      if (bytes === undefined) return conflict(`${name} deleted /${shown(path)}, which others changed`);
      const database = readRpmDatabase(bytes);
      if ('problem' in database) return conflict(`/${shown(path)} of ${name} is damaged: ${database.problem}`);
      databases.push(database);
    }
    const multiple = installedTogether([ancestor, ...databases].map(({ packages }) => packages));
    const placed = ({ packages }: RpmDatabase, from: number) =>
      new Map(packages.map(record => [keyOf(record, multiple), { ...record, from }]));
    const choice = choosePackages<PlacedPackage>({
      ancestor: placed(ancestor, -1),
      sides: contents.sides.map(({ name, side }, i) => ({ name, side, packages: placed(databases[i]!, i) })),
      compareVersions: compareRpmVersions,
      wantsNewer: files =>
        context.ruleFor(path) === 'newer' ||
        (files.length > 0 && files.every(file => context.ruleFor(imagePath(file)) === 'newer')),
    });
    return { contents, databases, choice };
  },
);

/** The first side's database, with what it does not have of the others, and without what was removed. */
async function mergedDatabase(path: string, context: MergeContext): Promise<Outcome> {
  const analysis = await analyse(path, context);
  if (analysis === undefined) return conflict(`/${shown(path)} was changed by one side alone`);
  if (isConflict(analysis)) return analysis;
  const { contents, databases, choice } = analysis;
  const first = databases[0]!;
  const other = databases.findIndex(({ indexTables }) => indexTables.join() !== first.indexTables.join());
  if (other >= 0) {
    const names = `${contents.sides[0]!.name} and ${contents.sides[other]!.name}`;
    return conflict(`/${shown(path)} was written by different versions of rpm in ${names}`);
  }
  const placeOf = ({ number, identity }: RpmPackage) => `${number} ${identity}`;
  const chosen = new Map([...choice.packages.values()].map(record => [placeOf(record), record]));
  const removed = first.packages.filter(record => !chosen.delete(placeOf(record)));
  const added = [...chosen.values()].toSorted((a, b) => a.from - b.from || a.number - b.number);
  const merged = await rewriteRpmDatabase({
    base: contents.sides[0]!.bytes!,
    others: contents.sides.map(({ bytes }) => bytes!),
    indexTables: first.indexTables,
    removed: removed.map(({ number }) => number),
    added,
  });
  const problem = Buffer.isBuffer(merged) ? problemOf(merged, choice.packages.size) : merged.problem;
  if (Buffer.isBuffer(merged) && problem === undefined) return { type: 'content', bytes: merged };
  return conflict(`/${shown(path)} is damaged: ${problem}`);
}

/** A damaged list of free pages shows only when pages are taken from it. */
function problemOf(merged: Buffer, packages: number): string | undefined {
  const database = readRpmDatabase(merged);
  if ('problem' in database) return database.problem;
  return database.packages.length === packages ? undefined : 'packages got lost';
}

/** Names that any source has in several versions at once, such as kernels, and keys, which are recorded as packages. */
function installedTogether(sources: readonly (readonly RpmPackage[])[]): ReadonlySet<string> {
  const multiple = new Set<string>();
  for (const packages of sources) {
    const seen = new Set<string>();
    for (const { key } of packages) {
      if (seen.has(key) || key === 'gpg-pubkey.') multiple.add(key);
      seen.add(key);
    }
  }
  return multiple;
}

function keyOf({ key, version }: RpmPackage, multiple: ReadonlySet<string>): string {
  return multiple.has(key) ? `${key} ${version}` : key;
}

async function unwrittenLog(
  path: string,
  context: MergeContext,
  changed: ReadonlySet<number>,
): Promise<ConflictOutcome | undefined> {
  const { sides } = await context.versionsOf(`${path}-wal`);
  const full = sides.find(({ node, side }) => changed.has(side) && node !== undefined && node.inode.size > 0);
  if (full === undefined) return undefined;
  return conflict(
    `/${shown(path)} of ${full.name} is not complete: rpm was interrupted before it wrote ${shown(path)}-wal back; run rpmdb --rebuilddb there`,
  );
}
