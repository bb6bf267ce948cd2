import { AsyncScope } from '../../core/async-scope.ts';
import type { MergeContext, MergeDriver, Outcome } from '../driver.ts';
import {
  conflict,
  isConflict,
  readContents,
  shown,
  takeLast,
  type ConflictOutcome,
  type FileContents,
} from './file-versions.ts';
import {
  changedSides,
  choosePackages,
  oncePerMerge,
  surveyChoice,
  type PackageChoice,
  type PackageSide,
} from './package-choice.ts';
import { RpmDatabase, type RpmPackage } from './rpm-database.ts';
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
        return mergedDatabase(versions.path, context);
      case 'rpmdb.sqlite-wal':
      case 'rpmdb.sqlite-shm':
        // An empty log needs no index, and a full one was a conflict of the database.
        return { type: 'drop' };
      case 'Packages':
      case 'Packages.db': {
        const format = file === 'Packages' ? 'Berkeley DB' : 'ndb';
        return conflict(
          `/${shown(versions.path)} is a package database in the format ${format}, which cannot be merged; convert it to sqlite in the base, with rpmdb --rebuilddb`,
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
  readonly choice: PackageChoice<PackageRecord>;
}

/** A package without the database that it was read from. */
interface PackageRecord extends Omit<RpmPackage, 'source'> {
  /** Position among `contents.sides`; -1: the ancestor. */
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
    return withDatabases(path, contents, ([ancestor, ...opened]) => {
      const sources = [ancestor, ...opened].map(database => database?.packages ?? []);
      const multiple = installedTogether(sources);
      const keyed = (packages: readonly RpmPackage[], from: number) =>
        new Map(packages.map(record => [keyOf(record, multiple), withoutSource(record, from)]));
      const choice = choosePackages<PackageRecord>({
        ancestor: keyed(ancestor?.packages ?? [], -1),
        sides: contents.sides.map(({ name, side }, i): PackageSide<PackageRecord> => ({
          name,
          side,
          packages: keyed(opened[i]?.packages ?? [], i),
        })),
        compareVersions: compareRpmVersions,
        wantsNewer: files =>
          context.ruleFor(path) === 'newer' ||
          (files.length > 0 && files.every(file => context.ruleFor(file.replace(/^\/+/, '')) === 'newer')),
      });
      return { contents, choice };
    });
  },
);

async function mergedDatabase(path: string, context: MergeContext): Promise<Outcome> {
  const analysis = await analyse(path, context);
  if (analysis === undefined) return conflict(`/${shown(path)} was changed by one side alone`);
  if (isConflict(analysis)) return analysis;
  const { contents, choice } = analysis;
  return withDatabases(path, contents, (databases): Outcome => {
    const opened = databases.slice(1);
    const [first] = opened;
    for (const [i, database] of opened.entries()) {
      if (database !== undefined && first?.isAlike(database) === true) continue;
      const names = `${contents.sides[0]!.name} and ${contents.sides[i]!.name}`;
      return conflict(`/${shown(path)} was written by different versions of rpm in ${names}`);
    }
    const placed = ({ number, identity }: { number: number; identity: string }) => `${number} ${identity}`;
    const own = new Map(first!.packages.map(record => [placed(record), record]));
    const packages = [...choice.packages.values()].map(
      (record): RpmPackage => own.get(placed(record)) ?? { ...record, source: databases[record.from + 1]! },
    );
    packages.sort((a, b) => databases.indexOf(a.source) - databases.indexOf(b.source) || a.number - b.number);
    const merged = first!.withPackages(packages);
    if (Buffer.isBuffer(merged)) return { type: 'content', bytes: merged };
    return conflict(`/${shown(path)} is damaged: ${merged.problem}`);
  });
}

/** Opens the ancestor's database and those of the sides, in this order, while the work lasts. */
async function withDatabases<T>(
  path: string,
  contents: FileContents,
  work: (databases: readonly (RpmDatabase | undefined)[]) => T,
): Promise<T | ConflictOutcome> {
  await using scope = new AsyncScope();
  const databases: (RpmDatabase | undefined)[] = [];
  for (const { name, bytes } of [{ name: 'the base', bytes: contents.ancestor }, ...contents.sides]) {
    if (bytes === undefined && name !== 'the base') {
      return conflict(`${name} deleted /${shown(path)}, which others changed`);
    }
    const database = bytes && (await RpmDatabase.open(bytes));
    if (database !== undefined && 'problem' in database) {
      return conflict(`/${shown(path)} of ${name} is damaged: ${database.problem}`);
    }
    if (database !== undefined) scope.defer(() => database[Symbol.dispose]());
    databases.push(database);
  }
  return work(databases);
}

function withoutSource({ source: _source, ...record }: RpmPackage, from: number): PackageRecord {
  return { ...record, from };
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
