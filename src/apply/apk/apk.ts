import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { MergeContext, MergeDriver, Outcome, PathVersions, SideVersion, Version } from '../driver.ts';
import { isAnyRenumbered } from '../accounts/account-ids.ts';
import { renumberInstalled } from './apk-owners.ts';
import { encodeInstalled, inCommonOrder, parseInstalled, type ApkPackage } from './apk-records.ts';
import { encodeScripts, packageOfScript, parseScripts, type ScriptMember } from './apk-scripts.ts';
import { compareApkVersions } from './apk-version.ts';
import { mergeWorld } from './apk-world.ts';
import { changedSides } from '../changed-sides.ts';
import {
  conflict,
  isConflict,
  inseparable,
  readContents,
  shown,
  takeLast,
  textOutcome,
  type ConflictOutcome,
  type FileContents,
} from '../file-versions.ts';
import { oncePerMerge } from '../once-per-merge.ts';
import { choosePackages, surveyChoice, type PackageChoice, type PackageSide } from '../packages/package-choice.ts';
import { joinLines, mergeKeyed, splitLines } from '../text/three-way.ts';

const DATABASES = ['lib/apk/db/installed', 'usr/lib/apk/db/installed'] as const;
const PATHS = /^(?:((?:usr\/)?lib\/apk\/db)\/([^/]+)|etc\/apk\/world)$/;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * apk's database: records of installed packages, their scripts and triggers, and the packages that were asked for. Of a
 * package in two versions nothing is mixed: its scripts and triggers go with the record that is chosen.
 */
export const apk: MergeDriver = {
  name: 'apk',
  claims: path => PATHS.test(path),
  async merge(versions, context) {
    const [, directory, file] = PATHS.exec(versions.path) ?? [];
    switch (file) {
      case 'installed':
        return inseparable(await mergedInstalled(versions, context));
      case 'triggers':
      case 'scripts.tar':
      case 'scripts.tar.gz':
        return inseparable(await mergedAccessory(versions, await checksums(`${directory}/installed`, context)));
      case undefined:
        return mergedWorld(versions);
      default:
        return takeLast(versions);
    }
  },
  async survey(context) {
    const isRenumbered = context.accounts !== undefined && isAnyRenumbered(context.accounts);
    const joint = new Set(isRenumbered ? DATABASES : []);
    for (const path of DATABASES) {
      const analysis = await analyse(path, context);
      if (analysis === undefined || isConflict(analysis)) continue;
      return { ...(await surveyChoice(path, analysis.choice, context)), joint };
    }
    return { owners: new Map(), conflicts: [], joint };
  },
};

interface Analysis {
  readonly ancestor: ReadonlyMap<string, ApkPackage>;
  readonly sides: readonly PackageSide<ApkPackage>[];
  readonly choice: PackageChoice<ApkPackage>;
}

/** What becomes of the packages; `undefined` where fewer than two sides changed the database. */
const analyse = oncePerMerge(
  async (path: string, context: MergeContext): Promise<Analysis | ConflictOutcome | undefined> => {
    const versions = await context.versionsOf(path);
    const changed = changedSides(context, versions);
    if (changed.length < 2) return undefined;
    const contents = await readPresent(path, { ancestor: versions.ancestor, sides: changed });
    if (isConflict(contents)) return contents;
    const ancestor = parseInstalled(contents.ancestor?.toString('latin1') ?? '');
    if ('problem' in ancestor) return damaged(path, 'the base', ancestor.problem);
    const sides: PackageSide<ApkPackage>[] = [];
    for (const { name, side, bytes } of contents.sides) {
      const packages = parseInstalled(ownText(bytes!, side, context));
      if ('problem' in packages) return damaged(path, name, packages.problem);
      sides.push({ name, side, packages });
    }
    const choice = choosePackages({
      ancestor,
      sides,
      compareVersions: compareApkVersions,
      wantsNewer: files =>
        context.ruleFor(path) === 'newer' ||
        (files.length > 0 && files.every(file => context.ruleFor(file) === 'newer')),
    });
    return { ancestor, sides, choice };
  },
);

/** A side's database with the ids of the merged tree. */
function ownText(bytes: Buffer, side: number, { accounts }: MergeContext): string {
  const text = bytes.toString('latin1');
  const owners = accounts?.owners[side];
  return owners === undefined ? text : renumberInstalled(text, owners);
}

async function mergedInstalled(versions: PathVersions, context: MergeContext): Promise<Outcome> {
  const analysis = await analyse(versions.path, context);
  if (analysis === undefined) {
    const contents = await readContents(versions, MAX_BYTES);
    if (isConflict(contents)) return contents;
    const only = contents.sides.at(-1);
    return only?.bytes ? textOutcome(ownText(only.bytes, only.side, context)) : takeLast(versions);
  }
  if (isConflict(analysis)) return analysis;
  const { ancestor, sides, choice } = analysis;
  const sources = [ancestor, ...sides.map(({ packages }) => packages)].map(packages => [...packages.values()]);
  return textOutcome(encodeInstalled(inCommonOrder([...choice.packages.values()], sources, ({ name }) => name)));
}

/** Tells of a checksum whether the merged database has its package; `undefined` where no side's database knows it. */
async function checksums(path: string, context: MergeContext): Promise<(checksum: string) => boolean | undefined> {
  const analysis = await analyse(path, context);
  if (analysis === undefined || isConflict(analysis)) return () => undefined;
  const known = new Set<string>();
  for (const packages of [analysis.ancestor, ...analysis.sides.map(side => side.packages)]) {
    for (const { checksum } of packages.values()) known.add(checksum);
  }
  const chosen = new Set([...analysis.choice.packages.values()].map(({ checksum }) => checksum));
  return checksum => (known.has(checksum) ? chosen.has(checksum) : undefined);
}

/** Triggers by line, scripts by member, of the packages that the merged database has. */
async function mergedAccessory(
  versions: PathVersions,
  isInstalled: (checksum: string) => boolean | undefined,
): Promise<Outcome> {
  const { path } = versions;
  const contents = await readPresent(path, versions);
  if (isConflict(contents)) return contents;
  if (path.endsWith('/triggers')) {
    const lines = (bytes: Buffer | undefined) =>
      new Map(splitLines(bytes?.toString('latin1') ?? '').map(line => [line, line]));
    const merged = mergeKeyed({
      ancestor: lines(contents.ancestor),
      sides: contents.sides.map(({ bytes }) => lines(bytes)),
      equal: () => true,
      settle: line => line,
    });
    return textOutcome(joinLines([...merged.keys()].filter(line => isInstalled(line.split(' ')[0]!) !== false)));
  }
  const isCompressed = path.endsWith('.gz');
  const archives: ReadonlyMap<string, ScriptMember>[] = [];
  for (const { name, bytes } of [{ name: 'the base', bytes: contents.ancestor }, ...contents.sides]) {
    const tar = bytes && isCompressed ? await decompressed(bytes) : bytes;
    const members = parseScripts(tar ?? Buffer.alloc(0));
    if ('problem' in members) return damaged(path, name, members.problem);
    if (bytes !== undefined && tar === undefined) return damaged(path, name, 'it cannot be decompressed');
    archives.push(members);
  }
  const merged = mergeKeyed<ScriptMember>({
    ancestor: archives[0]!,
    sides: archives.slice(1),
    equal: (a, b) => a.blocks.equals(b.blocks),
    settle: (_name, before, changes) => changes.findLast(({ value }) => value !== undefined)?.value ?? before,
  });
  const kept = [...merged.values()].filter(({ name }) => isInstalled(packageOfScript(name) ?? '') !== false);
  const bytes = encodeScripts(kept);
  return { type: 'content', bytes: isCompressed ? await promisify(gzip)(bytes) : bytes };
}

async function decompressed(bytes: Buffer): Promise<Buffer | undefined> {
  return promisify(gunzip)(bytes, { maxOutputLength: MAX_BYTES }).catch(() => undefined);
}

async function mergedWorld(versions: PathVersions): Promise<Outcome> {
  const contents = await readPresent(versions.path, versions);
  if (isConflict(contents)) return contents;
  const sides = contents.sides.map(({ name, bytes }) => ({ name, text: bytes!.toString('latin1') }));
  const merged = mergeWorld(versions.path, contents.ancestor?.toString('latin1') ?? '', sides);
  return typeof merged === 'string' ? textOutcome(merged) : merged;
}

/** Contents of a file that nobody may have deleted. */
async function readPresent(
  path: string,
  { ancestor, sides }: { readonly ancestor: Version; readonly sides: readonly SideVersion[] },
): Promise<FileContents | ConflictOutcome> {
  const contents = await readContents({ path, ancestor, sides }, MAX_BYTES);
  if (isConflict(contents)) return contents;
  const gone = contents.sides.find(({ bytes }) => bytes === undefined);
  return gone ? conflict(`${gone.name} deleted /${shown(path)}, which others changed`) : contents;
}

function damaged(path: string, name: string, problem: string): ConflictOutcome {
  return conflict(`/${shown(path)} of ${name} is damaged: ${problem}`);
}
