import { isStkError, type StkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import type { Digest } from '../core/digest.ts';
import { formatImageName, nameIn } from '../oci/image-name.ts';
import { UPDATE_FROM } from '../oci/layer-annotations.ts';
import { formatPlatform } from '../oci/platform.ts';
import { resolveManifest } from '../oci/resolve-image.ts';
import { isTagMoved } from '../oci/tag-unmoved.ts';
import type { UpdateTarget } from '../update/find-targets.ts';
import { computeUpdate, finishUpdate, type UpdateOutcome, type UpdateRun } from '../update/update-run.ts';
import type { Fleet } from './fleet-model.ts';
import type { ImageState } from './image-state.ts';
import type { RollJournal } from './roll-journal.ts';
import { dueParts, targetTag, wantedOf, type RollPlan } from './roll-plan.ts';
import { isBehind, type SurveyedTag, type Surveyor } from './survey.ts';

/** Looks at a new version by a reference with its digest; throws where it is not good. */
export type CheckImage = (image: string, reference: string, signal: AbortSignal) => Promise<void>;

export interface RollPorts {
  readonly run: Omit<UpdateRun, 'wanted' | 'check' | 'beforeMove'>;
  readonly fleet: Fleet;
  readonly surveyor: Surveyor;
  /** Writes down what is done; `undefined` where nothing is. */
  readonly journal: RollJournal | undefined;
  /** How many images a check looks at before the others follow; all where there is a check and no number. */
  readonly canary: { readonly images: number | undefined; readonly check: CheckImage } | undefined;
  /** For templates of tags: YYYYMMDD. */
  readonly day: string;
  /** Hears of each image as it ends. */
  readonly tell: (outcome: RollOutcome) => void;
  readonly signal: AbortSignal;
}

/** How a roll ended for one image. */
export interface RollOutcome {
  /** The tag's name as an image. */
  readonly name: string;
  /** The same with the platform, where it is one of an index. */
  readonly image: string;
  /** Of the new version, where it is another. */
  readonly tag: string;
  readonly outcome: 'updated' | 'would-update' | 'unchanged' | 'waits' | 'later' | 'skipped' | 'failed';
  /** Of the image itself, not of its index. */
  readonly from: Digest;
  readonly to?: Digest;
  /** What the tag stands for afterwards: of an index, the index. */
  readonly tagged?: Digest;
  /** Parts that are behind, or that were moved. */
  readonly parts: readonly string[];
  /** Bytes that were sent, or would be. */
  readonly bytes?: number;
  readonly error?: StkError;
}

/** How often one image is begun again because others moved its tag. */
const MOST_TRIES = 5;

/**
 * Updates the images of a plan: first those that a check has to let pass, then all others side by side. Ends with the first
 * failure beyond those that the fleet allows; what was not begun is `skipped`. The roll has ended where nothing is left of it.
 */
export async function roll(plan: RollPlan, ports: RollPorts): Promise<readonly RollOutcome[]> {
  const { canary, fleet, journal, run } = ports;
  const outcomes: RollOutcome[] = [];
  const tell = (more: readonly RollOutcome[]) => {
    outcomes.push(...more);
    more.forEach(ports.tell);
  };
  tell(plan.waiting.flatMap(tag => passedOver(tag, 'waits', ports)));
  const passed = plan.due.filter(({ selected }) => journal?.hasPassed(selected.name));
  const isChecked = canary !== undefined && !run.dryRun;
  const wanted = isChecked ? Math.max(0, (canary.images ?? plan.due.length) - passedBefore(journal)) : 0;
  const first = plan.due.filter(tag => !passed.includes(tag)).slice(0, wanted);
  const failures = { left: fleet.limits.failures };
  const step = async (tags: readonly SurveyedTag[], isCanary: boolean) => {
    const budget = isCanary ? { left: 0 } : failures;
    await mapLimited(
      tags,
      fleet.limits.parallel,
      async (tag, signal) => {
        if (budget.left < 0) return tell(passedOver(tag, 'skipped', ports));
        const done = await rollTag(tag, isCanary, ports, signal);
        if (done.some(({ outcome }) => outcome === 'failed')) budget.left--;
        tell(done);
      },
      ports.signal,
    );
    return budget.left >= 0;
  };
  const rest = plan.due.filter(tag => !first.includes(tag));
  if (await step(first, true)) await step(rest, false);
  else tell(rest.flatMap(tag => passedOver(tag, 'skipped', ports)));
  tell(plan.later.flatMap(tag => passedOver(tag, 'later', ports)));
  const isLeft = outcomes.some(({ outcome }) => ['failed', 'skipped', 'later'].includes(outcome));
  if (!isLeft && !run.dryRun) await journal?.end();
  return outcomes;
}

function passedBefore(journal: RollJournal | undefined): number {
  return journal?.isResumed ? journal.passedCount : 0;
}

function passedOver(
  { selected, images }: SurveyedTag,
  outcome: 'waits' | 'skipped' | 'later',
  { fleet, day }: RollPorts,
): readonly RollOutcome[] {
  return images
    .filter(image => dueParts(image, fleet).length > 0)
    .map(image => ({ ...head(image, selected, fleet, day), outcome }));
}

function head(image: ImageState, selected: SurveyedTag['selected'], fleet: Fleet, day: string) {
  const { name, platform, digest } = image;
  return {
    name: selected.name,
    image: platform ? `${name} (${formatPlatform(platform)})` : name,
    tag: targetTag(selected, day),
    from: digest,
    parts: dueParts(image, fleet).map(part => (part.kind === 'base' ? 'base' : part.name)),
  };
}

/** One tag; where somebody else moved it meanwhile, again from what it stands for then. */
async function rollTag(
  tag: SurveyedTag,
  isCanary: boolean,
  ports: RollPorts,
  signal: AbortSignal,
): Promise<readonly RollOutcome[]> {
  let current = tag;
  for (let tries = 1; ; tries++) {
    try {
      return await rollOnce(current, isCanary, ports, signal);
    } catch (error) {
      if (!isStkError(error) || signal.aborted) throw error;
      if (!isTagMoved(error) || tries === MOST_TRIES) {
        const { fleet, day } = ports;
        const due = current.images.filter(image => dueParts(image, fleet).length > 0);
        return due.map(image => ({ ...head(image, current.selected, fleet, day), outcome: 'failed', error }));
      }
      current = await ports.surveyor.one(tag.selected, signal);
    }
  }
}

async function rollOnce(
  { selected, document, images }: SurveyedTag,
  isCanary: boolean,
  ports: RollPorts,
  signal: AbortSignal,
): Promise<readonly RollOutcome[]> {
  const { run, fleet, surveyor, journal, canary, day } = ports;
  const { store, name } = selected;
  const tag = targetTag(selected, day);
  const due = images.flatMap(image => {
    const wanted = wantedOf(image, fleet);
    return wanted ? [{ image, wanted }] : [];
  });
  const told = (image: ImageState) => head(image, selected, fleet, day);
  const other = tag === selected.tag ? undefined : await otherTag(selected, tag, images, ports);
  if (due.length === 0 || other?.isCurrent) {
    return images.map(image => ({ ...told(image), parts: [], outcome: 'unchanged' }));
  }
  const expected = tag === selected.tag ? document.descriptor.digest : other?.digest;
  const index = document.parsed.kind === 'index' ? document : undefined;
  const members = [];
  for (const { image, wanted } of due) {
    const { descriptor } = await surveyor.memory.read(store, image.digest, told(image).image, signal);
    const found = await resolveManifest(store, { descriptor, manifest: image.manifest }, name, { signal });
    const target: UpdateTarget = { image: { ...found, store, name: told(image).image }, tag, expected, index };
    members.push(await computeUpdate({ ...run, wanted }, target, signal));
  }
  let tagged: Digest | undefined;
  const outcomes = await finishUpdate(
    {
      ...run,
      wanted: due[0]!.wanted,
      check: isCanary ? (_, { digest }) => canary!.check(name, referenceTo(selected, digest), signal) : undefined,
      beforeMove: async (_, { digest }) => {
        tagged = digest;
        if (isCanary) await journal?.pass(name);
        const before = [];
        if (index)
          for (const { image } of due) before.push(await surveyor.memory.read(store, image.digest, name, signal));
        await journal?.move(
          { image: nameOf(selected, tag), from: expected, to: digest },
          tag === selected.tag ? [...before, document] : [],
        );
      },
    },
    { target: members[0]!.target, members },
    signal,
  );
  return outcomes.map((outcome, at) => ({ ...told(due[at]!.image), ...resultOf(outcome, tagged) }));
}

function resultOf(outcome: UpdateOutcome, tagged: Digest | undefined): Pick<RollOutcome, 'outcome' | 'to' | 'bytes'> {
  if (!('updated' in outcome)) return { outcome: 'unchanged' };
  const to = outcome.updated.manifest.descriptor.digest;
  if ('missing' in outcome) return { outcome: 'would-update', to, bytes: outcome.missing };
  return { outcome: 'updated', to, bytes: outcome.sentBytes, ...(tagged && { tagged }) };
}

/** What a tag of another name stands for, and whether it is the newest version of these images already. */
async function otherTag(
  selected: SurveyedTag['selected'],
  tag: string,
  images: readonly ImageState[],
  { surveyor, signal }: RollPorts,
): Promise<{ readonly digest: Digest; readonly isCurrent: boolean } | undefined> {
  try {
    const found = await surveyor.one({ ...selected, tag, name: nameOf(selected, tag) }, signal);
    const made = new Set(found.images.map(({ manifest }) => manifest.annotations?.[UPDATE_FROM]));
    const isCurrent = images.every(({ digest }) => made.has(digest)) && !found.images.some(isBehind);
    return { digest: found.document.descriptor.digest, isCurrent };
  } catch (error) {
    if (isStkError(error, 'not-found')) return undefined;
    throw error;
  }
}

function nameOf({ store }: SurveyedTag['selected'], tag: string): string {
  const name = nameIn(store.place, tag);
  return name ? formatImageName(name) : tag;
}

/** What is there by its digest alone, before any tag says so. */
function referenceTo({ store, tag }: SurveyedTag['selected'], digest: Digest): string {
  const name = nameIn(store.place, tag);
  if (!name) return digest;
  const { tag: _tag, ...place } = name;
  return formatImageName({ ...place, digest });
}
