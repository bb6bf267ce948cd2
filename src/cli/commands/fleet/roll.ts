import { stateDirectories } from '../../../builder/state-directories.ts';
import { AsyncScope } from '../../../core/async-scope.ts';
import { digestHex, digestOf, type Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import { say } from '../../../core/events.ts';
import { joinInside } from '../../../core/paths.ts';
import type { Fleet } from '../../../fleet/fleet-model.ts';
import { RollJournal } from '../../../fleet/roll-journal.ts';
import { planRoll } from '../../../fleet/roll-plan.ts';
import { rollBack } from '../../../fleet/roll-back.ts';
import { roll, type RollOutcome } from '../../../fleet/roll.ts';
import { selectTags, tagMatcher, type SelectedTag } from '../../../fleet/select-images.ts';
import { throwFailedPlaces, type SurveyedTag } from '../../../fleet/survey.ts';
import type { WrittenReference } from '../../../fleet/write-back.ts';
import { NamespacesNeeded } from '../../../update/regenerate-in-layout.ts';
import type { Session } from '../../session.ts';
import { openSessionUi } from '../build/build.ts';
import { openUpdateRun, type UpdateFlags } from '../update/update.ts';
import { parseRule } from '../update/wanted-parts.ts';
import { checkCommand } from './check-command.ts';
import { openFleet } from './fleet-file.ts';
import { RollReport } from './roll-report.ts';
import { writeBackFiles } from './write-back.ts';
import { makeSurveyor } from './survey-images.ts';

export interface RollFlags extends UpdateFlags {
  readonly fleet: string;
  readonly plan?: boolean;
  readonly only: readonly string[];
  readonly limit?: number;
  readonly canary?: number;
  readonly check?: string;
  readonly rollback?: boolean;
  readonly writeBack: readonly string[];
}

/**
 * `stk update --fleet FILE`: brings the images of a fleet that are behind to the newest versions, or takes that back.
 * @param isWanted narrows what is moved
 */
export async function runRoll(
  session: Session,
  ref: string | undefined,
  flags: RollFlags,
  isWanted?: Fleet['isWanted'],
): Promise<number> {
  assertFlags(ref, flags);
  const fleet = { ...withFlags(await openFleet(session, flags.fleet), flags), isWanted };
  let needsNamespaces = false;
  {
    await using scope = new AsyncScope();
    const isLook = flags.plan === true || flags.dryRun === true;
    const home = joinInside(
      stateDirectories(session.global.stkDir).fleets,
      digestHex(digestOf(fleet.file)).slice(0, 16),
    );
    const journal = isLook && !flags.rollback ? undefined : scope.use(await RollJournal.open(home));
    try {
      await (flags.rollback
        ? takeBack(session, flags, fleet, { journal: journal!, scope })
        : bring(session, flags, fleet, { journal, scope }));
    } catch (error) {
      needsNamespaces = error instanceof NamespacesNeeded;
      if (!needsNamespaces) throw error;
    }
  }
  return needsNamespaces ? session.enter() : 0;
}

async function bring(
  session: Session,
  flags: RollFlags,
  fleet: Fleet,
  { journal, scope }: { readonly journal: RollJournal | undefined; readonly scope: AsyncScope },
): Promise<void> {
  const { stores, signal } = session;
  await using ui = openSessionUi(session);
  const ports = { stores, tlsVerify: fleet.tlsVerify, scope, signal };
  const selected = await selectTags(fleet.images, ports);
  const surveyor = makeSurveyor(session, fleet, { ...ports, countVersions: false });
  const survey = await surveyor.all(selected.tags);
  const plan = planRoll(survey.tags, fleet, {
    only: flags.only.length === 0 ? undefined : tagMatcher(flags.only),
    limit: fleet.limits.images,
  });
  if (journal?.isResumed) say(ui.emit, 'info', 'going on with the roll that was not ended');
  const report = new RollReport(session.stdout, flags.json === true);
  const isDry = flags.plan === true || flags.dryRun === true;
  try {
    if (flags.plan) report.plan(plan, fleet);
    const { newParts, ...run } = await openUpdateRun(
      session,
      { ...updateFlags(flags, fleet), dryRun: isDry },
      ui,
      scope,
    );
    const check = fleet.canary && checkCommand(session, fleet.canary.check, ui.emit);
    const outcomes = flags.plan
      ? []
      : await roll(plan, {
          run: { ...run, parts: newParts(), rules: [...flags.conflict.map(parseRule), ...fleet.conflicts] },
          fleet,
          surveyor,
          journal,
          canary: check && { images: isAllChecked(flags) ? undefined : fleet.canary?.images, check },
          day: run.created.slice(0, 10).replaceAll('-', ''),
          tell: outcome => report.add(outcome),
          signal,
        });
    report.end({ current: plan.current.length, unread: selected.failed.length + survey.failed.length });
    const images = references(survey.tags, outcomes);
    if (!flags.plan) await writeBackFiles(session, flags.writeBack, { images, dryRun: isDry, emit: ui.emit });
    throwRollFailures(outcomes);
    throwFailedPlaces([...selected.failed, ...survey.failed]);
  } finally {
    report.close();
  }
}

async function takeBack(
  session: Session,
  flags: RollFlags,
  fleet: Fleet,
  { journal, scope }: { readonly journal: RollJournal; readonly scope: AsyncScope },
): Promise<void> {
  const { stores, signal } = session;
  const { tlsVerify, limits } = fleet;
  const dryRun = flags.dryRun === true;
  const done = await rollBack({ stores, journal, parallel: limits.parallel, tlsVerify, dryRun, scope, signal });
  const report = new RollReport(session.stdout, flags.json === true);
  for (const each of done) report.addBack(each);
  report.endBack(done);
  const failed = done.flatMap(({ image, error }) => (error ? [{ name: image, error }] : []));
  throwFailedPlaces(failed);
}

/** With --check and without --canary, every image is looked at. */
function isAllChecked({ check, canary }: RollFlags): boolean {
  return check !== undefined && canary === undefined;
}

/** What the command line says counts before what the file says. */
function withFlags(fleet: Fleet, { limit, canary, check, tlsVerify }: RollFlags): Fleet {
  const command = check ?? fleet.canary?.check;
  if (canary !== undefined && command === undefined) {
    throw new StkError('usage', '--canary needs a check', {
      hint: 'add --check CMD, or canary.check in the fleet file',
    });
  }
  return {
    ...fleet,
    tlsVerify: fleet.tlsVerify && tlsVerify,
    limits: { ...fleet.limits, images: limit ?? fleet.limits.images },
    canary: command === undefined ? undefined : { images: canary ?? fleet.canary?.images ?? 1, check: command },
  };
}

function updateFlags(flags: RollFlags, fleet: Fleet): UpdateFlags {
  const {
    signKey = fleet.signKey,
    renumberLimit = fleet.limits.renumber,
    key = [],
    policy = fleet.require.policy,
  } = flags;
  return {
    ...flags,
    tlsVerify: fleet.tlsVerify,
    key: [...key, ...fleet.require.keys],
    ...(signKey === undefined ? {} : { signKey }),
    ...(policy === undefined ? {} : { policy }),
    ...(renumberLimit === undefined ? {} : { renumberLimit }),
  };
}

function assertFlags(ref: string | undefined, flags: RollFlags): void {
  const { all, apply, base, tag, platform, rebase, replaceLayers } = flags;
  const isOther = all || apply.length > 0 || base !== undefined || rebase || replaceLayers.length > 0;
  if (ref !== undefined || isOther || tag !== undefined || platform !== undefined) {
    throw new StkError('usage', '--fleet says what is updated: it goes with no image and nothing that swaps', {
      hint: 'narrow it with --only GLOB and --limit N, or change the fleet file',
    });
  }
}

/** What every tag stands for after the roll, by its name. */
function references(
  tags: readonly SurveyedTag[],
  outcomes: readonly RollOutcome[],
): ReadonlyMap<string, WrittenReference> {
  const found = new Map<string, WrittenReference>();
  for (const { selected, document } of tags) {
    found.set(selected.name, written(selected, selected.tag, document.descriptor.digest));
  }
  const byName = new Map(tags.map(({ selected }) => [selected.name, selected]));
  for (const { name, tag, tagged } of outcomes) if (tagged) found.set(name, written(byName.get(name)!, tag, tagged));
  return found;
}

function written({ store: { place } }: SelectedTag, tag: string, digest: Digest): WrittenReference {
  const at =
    place.kind === 'docker'
      ? `${place.host}/${place.repository}`
      : place.kind === 'oci'
        ? `oci:${place.directory}`
        : '';
  return { reference: `${at}:${tag}@${digest}`, digest, tag };
}

function throwRollFailures(outcomes: readonly RollOutcome[]): void {
  const failed = outcomes.flatMap(({ image, error }) => (error ? [{ name: image, error }] : []));
  const [first] = failed;
  if (first === undefined) return;
  const lines = failed.map(({ name, error }) => `${name}: ${error.message}`);
  throw new StkError(first.error.code, `${failed.length} images could not be updated:\n${lines.join('\n')}`, {
    cause: first.error,
    hint: first.error.hint ?? 'run again: the roll goes on where it is',
  });
}
