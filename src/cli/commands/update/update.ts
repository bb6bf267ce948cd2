import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError, isStkError } from '../../../core/errors.ts';
import { say } from '../../../core/events.ts';
import { mapLimited } from '../../../core/limiter.ts';
import { makeTempDir } from '../../../host/temp-dir.ts';
import { OpenLayers } from '../../../lazy/open-layers.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { defaultPackOptions } from '../../../layer/pack-options.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { OpenConverter } from '../../../update/squashfs-parts.ts';
import type { Session } from '../../session.ts';
import { holdCaches } from '../cache/hold-caches.ts';
import { parseEpoch, parseRenumberLimit } from '../build/build-options.ts';
import { openSessionUi } from '../build/build.ts';
import { demandsSignature, requireSignature, type SignatureFlags } from '../signature/require-signature.ts';
import type { Ui } from '../../ui/open-ui.ts';
import type { AttachFlags } from '../attest/attach-flags.ts';
import { PartsFinder, type WantedParts } from '../../../update/find-parts.ts';
import { NamespacesNeeded, type OpenPlace } from '../../../update/regenerate-in-layout.ts';
import { keptBeside } from './kept-beside.ts';
import { parseRule, wantedParts, type SwapFlags } from './wanted-parts.ts';
import { OutcomeList, writeOutcome } from './update-report.ts';
import { updateInRounds } from './in-rounds.ts';
import { finishOrBeginAgain } from '../../../update/finish-again.ts';
import { leftBehind } from '../../../update/left-behind.ts';
import { findTargets, targetsAt, type FailedTarget, type UpdateTarget } from '../../../update/find-targets.ts';
import { computeUpdate, groupByTag, type UpdateOutcome, type UpdateRun } from '../../../update/update-run.ts';
import type { LayerType } from '../../../update/tar-results.ts';
import { parsePlatform } from '../../../oci/platform.ts';

export interface UpdateFlags extends SwapFlags, ImagesFlags {}

/** How images are updated, whatever is swapped in them. */
export interface ImagesFlags extends SignatureFlags, AttachFlags {
  readonly all?: boolean;
  readonly conflict: readonly string[];
  readonly tag?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly platform?: string;
  readonly renumberLimit?: string;
  readonly kernel?: boolean;
  readonly layerType?: LayerType;
  readonly tlsVerify: boolean;
}

/** Images that are worked on side by side: much of it is waiting for a registry. */
const PARALLEL = 4;

/** `stk update [IMAGE]`: swaps applied layers or the base of images, and builds nothing of them again. */
export async function runUpdate(session: Session, ref: string | undefined, flags: UpdateFlags): Promise<number> {
  return updateImages(session, ref, flags, wantedParts(flags));
}

/** What has been decided to swap is swapped; `--all` and what is shown are as in `stk update`. */
export async function updateImages(
  session: Session,
  ref: string | undefined,
  flags: ImagesFlags,
  wanted: WantedParts,
): Promise<number> {
  const rules = flags.conflict.map(parseRule);
  assertFlags(ref, flags);
  let needsNamespaces = false;
  {
    await using scope = new AsyncScope();
    await using ui = openSessionUi(session);
    const { newParts, ...opened } = await openUpdateRun(session, flags, ui, scope);
    const run: UpdateRun = { ...opened, parts: newParts(), wanted, rules };
    const ports = { stores: session.stores, scope, signal: session.signal };
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    const options = { ...flags, wanted, platform };
    const found = await findTargets(ports, ref, options);
    const report = flags.json ? new OutcomeList(session.stdout) : undefined;
    const tell = (outcome: UpdateOutcome) => (report ? report.add(outcome) : writeOutcome(session.stdout, outcome));
    // A tag that the new version alone gets says nothing of what the image is by now.
    const lookAgain = async ({ image, tag }: UpdateTarget) =>
      flags.tag !== undefined && flags.tag !== tag
        ? []
        : (await targetsAt(ports, image.store, tag, { ...options, name: image.name })).targets;
    try {
      let current = run;
      const all = await updateInRounds(found.targets, {
        mayRepeat: wanted.base !== 'stay',
        compute: (targets, round) => {
          // One of the first round that needs namespaces begins everything again inside of them: nothing is written yet.
          if (round > 0) current = { ...run, parts: newParts(), openPlace: onlyInside(session, run.openPlace) };
          const items = targets.map(target => ({ target }));
          return forAll(session, flags, items, ({ target }, signal) => computeUpdate(current, target, signal));
        },
        finish: async computed => {
          const { done, failed } = await forAll(session, flags, groupByTag(computed), async (group, signal) => {
            const outcomes = await finishOrBeginAgain(current, group, lookAgain, signal);
            outcomes.forEach(tell);
            return outcomes;
          });
          return { done: done.flat(), failed };
        },
      });
      const failed = [...found.failed, ...all.failed];
      const rest = [
        ...leftBehind(found.passedOver, all.computed).map(each => ({ left: each })),
        ...failed.map(each => ({ failed: each })),
      ];
      rest.forEach(tell);
      const outcomes = [...all.done, ...rest];
      if (outcomes.length === 0) say(ui.emit, 'info', 'no image applies it: there is nothing to update');
      report?.end();
      throwFailures(failed, outcomes.length);
    } catch (error) {
      needsNamespaces = error instanceof NamespacesNeeded;
      if (!needsNamespaces) {
        report?.end();
        throw error;
      }
    }
  }
  return needsNamespaces ? session.enter() : 0;
}

/** A run but for what is swapped; it finds parts anew where images that it updated are parts of others. */
export interface OpenedRun extends Omit<UpdateRun, 'wanted' | 'rules' | 'parts'> {
  readonly newParts: () => PartsFinder;
}

/** What all images of one run have in common. The scope owns what is opened. */
export async function openUpdateRun(
  session: Session,
  flags: Omit<ImagesFlags, 'conflict'> & Partial<Pick<ImagesFlags, 'conflict'>>,
  ui: Ui,
  scope: AsyncScope,
): Promise<OpenedRun> {
  const epochSeconds = parseEpoch(session.environment['SOURCE_DATE_EPOCH']);
  const converter = openConverterOnce(session, ui, scope);
  return {
    dryRun: flags.dryRun === true,
    sign: await keptBeside(session, flags, ui),
    openPlace: openPlaceOnce(session, flags, scope),
    converter,
    layerType: flags.layerType,
    emit: ui.emit,
    shared: scope.use(new OpenLayers(session.signal)),
    scratch: scope.use(await makeTempDir(session.environment['TMPDIR'] ?? '/tmp', 'stk-update')).path,
    epochSeconds,
    renumberLimitBytes: parseRenumberLimit(flags.renumberLimit),
    created: new Date(epochSeconds === undefined ? Date.now() : epochSeconds * 1000).toISOString(),
    newParts: () =>
      new PartsFinder({
        stores: session.stores,
        tlsVerify: flags.tlsVerify,
        converter,
        check: ({ name, store, reference }) => requireSignature(session, { name, store, reference }, flags),
        scope,
        signal: session.signal,
      }),
  };
}

/** One converter for all images, which keeps what it converts. */
function openConverterOnce(session: Session, { emit }: Ui, scope: AsyncScope): () => Promise<OpenConverter> {
  let opened: Promise<OpenConverter> | undefined;
  const open = async () => {
    await holdCaches(session);
    const state = stateDirectories(session.global.stkDir);
    const { LayerConverter } = await import('../../../sources/convert-layers.ts');
    const layout = await LayoutStore.create(state.converted);
    scope.use(await layout.lockBlobs('shared', { signal: session.signal }));
    const records = new RecordCache(state.records);
    const packing = defaultPackOptions;
    return { layout, records, converter: new LayerConverter({ layout, records, packing, keepTar: false, emit }) };
  };
  return () => (opened ??= open());
}

/** One workshop for all images, opened at the first use. */
function openPlaceOnce(
  session: Session,
  { kernel = false }: Pick<ImagesFlags, 'kernel'>,
  scope: AsyncScope,
): OpenPlace {
  const trust = () => undefined;
  let workshop: ReturnType<OpenPlace> | undefined;
  return async () => {
    if (!session.inside) throw new NamespacesNeeded();
    const { openWorkshop } = await import('../../../builder/open-workshop.ts');
    const { environment, global } = session;
    return (workshop ??= openWorkshop({ stkDir: global.stkDir, environment, kernel, trust, scope }));
  };
}

/** Once images were written it is too late to begin again inside of namespaces. */
function onlyInside(session: Session, open: OpenPlace): OpenPlace {
  return () => {
    if (session.inside) return open();
    throw new StkError('unsupported', 'a program of the image has to run for it, which this update did not expect', {
      hint: 'run the same command again',
    });
  };
}

/** With `--all`, one image that fails does not keep the others from being updated. */
async function forAll<T extends { readonly target: UpdateTarget }, R>(
  session: Session,
  flags: ImagesFlags,
  items: readonly T[],
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<{ readonly done: readonly R[]; readonly failed: readonly FailedTarget[] }> {
  const failed: FailedTarget[] = [];
  const done = await mapLimited(
    items,
    PARALLEL,
    async (item, signal) => {
      try {
        return [await work(item, signal)];
      } catch (error) {
        if (!flags.all || signal.aborted || !isStkError(error)) throw error;
        const { image, tag } = item.target;
        failed.push({ name: image.name, tag, from: image.descriptor.digest, error });
        return [];
      }
    },
    session.signal,
  );
  return { done: done.flat(), failed };
}

function throwFailures(failed: readonly FailedTarget[], count: number): void {
  const [first] = failed;
  if (first === undefined) return;
  if (count === 1) throw first.error;
  const lines = failed.map(({ name, error }) => `${name}: ${error.message}`);
  throw new StkError(
    first.error.code,
    `${failed.length} of ${count} images could not be updated:\n${lines.join('\n')}`,
    {
      cause: first.error,
      ...(first.error.hint === undefined ? {} : { hint: first.error.hint }),
    },
  );
}

function assertFlags(ref: string | undefined, flags: ImagesFlags): void {
  demandsSignature(flags);
  if (ref === undefined && !flags.all) {
    throw new StkError('usage', 'update needs an image', { hint: 'name one, or all of the layout with --all' });
  }
  if (flags.all && flags.tag !== undefined) {
    throw new StkError('usage', '--tag is for one image', { hint: 'with --all every image keeps its own tag' });
  }
}
