import type { MergeContext, MergeDriver, MergedView, Outcome, PathVersions, Revision, Survey } from '../driver.ts';
import { mergeDebconf } from './debconf.ts';
import { mergeGroupFile, mergeLink, ownersOfLinks } from './dpkg-alternatives.ts';
import { mergeAutomatic } from './dpkg-automatic.ts';
import { packageDatabases, STATUS } from './dpkg-databases.ts';
import { divertedFiles } from './dpkg-diverted.ts';
import { mergeInfo } from './dpkg-info.ts';
import {
  DIVERSIONS,
  mergeLineFile,
  mergeLines,
  mergeUnincorporated,
  STATOVERRIDE,
  UCF_HASHES,
  UCF_REGISTRY,
  type LineMerge,
} from './dpkg-lines.ts';
import { dpkgFile } from './dpkg-paths.ts';
import { packagePlan } from './dpkg-plan.ts';
import { mergeLooseRecords, mergeRecordFile } from './dpkg-record-files.ts';
import {
  conflict,
  inseparable,
  isConflict,
  readContents,
  shown,
  takeLast,
  takeLastPresent,
  textOutcome,
  type FileContents,
} from '../file-versions.ts';
import { isDamaged, splitStanzas } from '../packages/stanzas.ts';

const MARKS = 'var/lib/apt/extended_states';

/**
 * What dpkg keeps of packages, with what belongs to them: apt's marks, debconf's and ucf's databases, alternatives.
 * Packages are told apart by name and architecture and merged against the ancestor; see dpkg-plan.ts.
 */
export const dpkg: MergeDriver = {
  name: 'dpkg',
  claims: path => dpkgFile(path) !== undefined,
  merge,
  survey,
  revise,
};

async function survey(context: MergeContext): Promise<Survey> {
  const plan = await packagePlan(context);
  const links = await ownersOfLinks(context);
  const diverted = await divertedFiles(context);
  return {
    owners: new Map([...links, ...(plan?.owners ?? [])]),
    conflicts: [...(plan?.conflicts ?? []), ...diverted.conflicts],
    elsewhere: diverted.elsewhere,
    ...(plan && { joint: new Set([MARKS]), remarks: plan.remarks }),
  };
}

/** What programs of the image make of files that one side brought for a package of another. */
async function revise(merged: MergedView, context: MergeContext): Promise<readonly Revision[]> {
  const plan = await packagePlan(context);
  const revisions: Revision[] = [];
  for (const [path, command] of plan?.madeAnew ?? []) {
    const place = merged.isMadeAnew(path) ? undefined : await merged.find(path, false);
    if (place !== undefined) revisions.push({ path: place.path, outcome: { type: 'regenerate', command } });
  }
  return revisions;
}

async function merge(versions: PathVersions, context: MergeContext): Promise<Outcome> {
  const file = dpkgFile(versions.path);
  if (file === undefined) return conflict(`/${shown(versions.path)} differs between ${namesOf(versions)}`);
  switch (file.kind) {
    case 'alternatives':
      return mergeGroupFile(context, file.name);
    case 'alternative-link':
      return (await mergeLink(context, file.name)) ?? unrelatedLink(versions);
    case 'info':
      return mergeInfo(versions, file);
    case 'journal':
      return conflict(`dpkg was interrupted in ${namesOf(versions)} and left /${shown(versions.path)}`, {
        remedies: ['first', 'last'],
      });
    case 'backup':
      return takeLast(versions);
    case 'empty':
      return takeLastPresent(versions);
    default:
      return inseparable(await mergeText(versions, context, file.kind));
  }
}

type TextKind = Exclude<
  NonNullable<ReturnType<typeof dpkgFile>>['kind'],
  'alternatives' | 'alternative-link' | 'info' | 'journal' | 'backup' | 'empty'
>;

async function mergeText(versions: PathVersions, context: MergeContext, kind: TextKind): Promise<Outcome> {
  if (kind === 'status') return mergeStatusFile(versions, context);
  const contents = await readContents(versions);
  if (isConflict(contents)) return contents;
  const lines: LineMerge = {
    path: versions.path,
    ancestor: contents.ancestor?.toString('latin1') ?? '',
    sides: contents.sides.map(({ name, bytes }) => ({ name, text: bytes?.toString('latin1') ?? '' })),
  };
  const isDeleted = contents.sides.some(({ bytes }) => bytes === undefined);
  switch (kind) {
    case 'records':
      return mergeLooseRecords(lines);
    case 'record':
      return mergeRecordFile(lines, versions, context);
    case 'diversions':
      return mergeLines(lines, DIVERSIONS);
    case 'statoverride':
      return mergeLines(lines, STATOVERRIDE);
    case 'ucf-hashes':
      return mergeLines(lines, UCF_HASHES);
    case 'ucf-registry':
      return mergeLines(lines, UCF_REGISTRY);
    case 'lines':
      return mergeLineFile(lines, isDeleted);
    case 'unincorporated':
      return mergeUnincorporated(lines);
    case 'debconf':
      return mergeDebconf(lines);
    case 'automatic':
      return mergeMarks(versions, contents, context);
  }
}

async function mergeStatusFile(versions: PathVersions, context: MergeContext): Promise<Outcome> {
  const plan = await packagePlan(context);
  if (plan === undefined) return takeLast(versions);
  return typeof plan.status === 'string' ? textOutcome(plan.status) : plan.status;
}

function isSameMarks(merged: Uint8Array, text: string): boolean {
  const [one, other] = [splitStanzas(Buffer.from(merged).toString('latin1')), splitStanzas(text)];
  return !isDamaged(one) && !isDamaged(other) && one.toSorted().join('\0') === other.toSorted().join('\0');
}

/** Sides that left the marks alone have a say, too: what they were asked to install is automatic nowhere. */
async function mergeMarks(versions: PathVersions, contents: FileContents, context: MergeContext): Promise<Outcome> {
  const databases = await packageDatabases(STATUS, context);
  if (isConflict(databases)) return databases;
  const before = contents.ancestor?.toString('latin1') ?? '';
  const texts = new Map(contents.sides.map(({ side, bytes }) => [side, bytes?.toString('latin1') ?? '']));
  const sides = context.sides.flatMap(({ name }, side) => {
    const packages = databases.sides[side];
    if (packages === databases.ancestor && !texts.has(side)) return [];
    return [{ name, text: texts.get(side) ?? before, packages: packages ?? new Map() }];
  });
  const ancestor = { name: 'the base', text: before, packages: databases.ancestor };
  const merged = mergeAutomatic({ path: versions.path, ancestor, sides });
  // What sides marked alike stays in their order, byte for byte.
  const isAgreed = merged.type === 'content' && [...texts.values()].every(text => isSameMarks(merged.bytes, text));
  return isAgreed ? takeLast(versions) : merged;
}

/** A link that no group of alternatives accounts for. */
function unrelatedLink(versions: PathVersions): Outcome {
  return conflict(`/${shown(versions.path)} differs between ${namesOf(versions)}`);
}

function namesOf({ sides }: PathVersions): string {
  return sides.map(({ name }) => name).join(' and ');
}
