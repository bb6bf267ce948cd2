import { AsyncScope } from '../../core/async-scope.ts';
import { StkError, isStkError } from '../../core/errors.ts';
import { say } from '../../core/events.ts';
import { mapLimited } from '../../core/limiter.ts';
import { makeTempDir } from '../../host/temp-dir.ts';
import { defaultPackOptions } from '../../layer/pack-options.ts';
import { LayoutStore } from '../../oci/layout.ts';
import { parseReference, type LayoutReference, type RegistryReference } from '../../oci/reference.ts';
import { updateImage } from '../../publish/update-image.ts';
import { publishUpdate } from '../../publish/update-publish.ts';
import { conflictRule } from '../../publish/update-rules.ts';
import type { ConflictRule } from '../../apply/merge-problem.ts';
import type { Session } from '../session.ts';
import type { Ui } from '../ui/open-ui.ts';
import { parseEpoch } from './build-options.ts';
import { openSessionUi } from './build.ts';
import { demandsSignature, type SignatureFlags } from './require-signature.ts';
import { openSigner, type Signer } from './sign.ts';
import { PartsFinder, type WantedParts } from './update-parts.ts';
import { missingBytes, writeOutcome, writeOutcomes, type UpdateOutcome } from './update-report.ts';
import { findTargets, type UpdateTarget } from './update-targets.ts';

export interface UpdateFlags extends SignatureFlags {
  readonly apply: readonly string[];
  readonly base?: string | true;
  readonly all?: boolean;
  readonly conflict: readonly string[];
  readonly tag?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly signKey?: string;
  readonly tlsVerify: boolean;
}

/** Images that are worked on side by side: much of it is waiting for a registry. */
const PARALLEL = 4;

interface UpdateRun {
  readonly session: Session;
  readonly flags: UpdateFlags;
  readonly wanted: WantedParts;
  readonly rules: readonly ConflictRule[];
  readonly parts: PartsFinder;
  readonly signer: Signer | undefined;
  readonly ui: Ui;
  /** RFC 3339, the same for all images. */
  readonly created: string;
  readonly epochSeconds: number | undefined;
}

/** `stk update [IMAGE]`: swaps applied layers or the base of images, and runs nothing of them. */
export async function runUpdate(session: Session, ref: string | undefined, flags: UpdateFlags): Promise<number> {
  const wanted = wantedParts(flags);
  const rules = flags.conflict.map(parseRule);
  demandsSignature(flags);
  if (ref === undefined && !flags.all) {
    throw new StkError('usage', 'update needs an image', { hint: 'name one, or all of the layout with --all' });
  }
  if (flags.all && flags.tag !== undefined) {
    throw new StkError('usage', '--tag is for one image', { hint: 'with --all every image keeps its own tag' });
  }
  const epochSeconds = parseEpoch(session.environment['SOURCE_DATE_EPOCH']);
  const signer = flags.signKey === undefined ? undefined : await openSigner(session, flags.signKey);
  await using scope = new AsyncScope();
  await using ui = openSessionUi(session);
  const run: UpdateRun = {
    session,
    flags,
    wanted,
    rules,
    signer,
    ui,
    epochSeconds,
    created: new Date(epochSeconds === undefined ? Date.now() : epochSeconds * 1000).toISOString(),
    parts: new PartsFinder(session, { tlsVerify: flags.tlsVerify, signatures: flags }, scope),
  };
  const targets = await findTargets(session, ref, { ...flags, wanted }, scope);
  const outcomes = await mapLimited(
    targets,
    PARALLEL,
    (target, signal) => attempt(run, target, signal),
    session.signal,
  );
  return finish(run, outcomes);
}

/** Of several images one that fails does not keep the others from being updated. */
async function attempt(run: UpdateRun, target: UpdateTarget, signal: AbortSignal): Promise<UpdateOutcome> {
  try {
    const outcome = await updateOne(run, target, signal);
    if (!run.flags.json) writeOutcome(run.session.stdout, outcome);
    return outcome;
  } catch (error) {
    if (!run.flags.all || run.session.signal.aborted || !isStkError(error)) throw error;
    return { target, error };
  }
}

async function updateOne(run: UpdateRun, target: UpdateTarget, signal: AbortSignal): Promise<UpdateOutcome> {
  const { session, flags, ui } = run;
  const { image } = target;
  const parts = await run.parts.find(image, run.wanted);
  await using scratch =
    image.store instanceof LayoutStore && !flags.dryRun
      ? await image.store.makeTemp()
      : await makeTempDir(session.environment['TMPDIR'] ?? '/tmp', 'stk-update');
  const { epochSeconds, created, rules } = run;
  const updated = await updateImage(image, parts, {
    scratch: scratch.path,
    packing: defaultPackOptions,
    epochSeconds,
    created,
    rules,
    emit: ui.emit,
    signal,
  });
  if (updated === undefined) return { target, unchanged: true };
  if (flags.dryRun) return { target, updated, missing: await missingBytes(image.store, updated, signal) };
  const { sentBytes } = await publishUpdate(image.store, updated, {
    tag: target.tag,
    expected: target.expected,
    sign: run.signer && (manifest => run.signer!.sign(image.store, manifest, signedReference(target), ui.emit)),
    emit: ui.emit,
    signal,
  });
  return { target, updated, sentBytes };
}

/** What the signature calls the image. */
function signedReference({ image, tag }: UpdateTarget): RegistryReference | LayoutReference {
  return parseReference(`${image.store.name}:${tag}`);
}

function finish({ session, flags, ui }: UpdateRun, outcomes: readonly UpdateOutcome[]): number {
  if (flags.json) writeOutcomes(session.stdout, outcomes);
  const failed = outcomes.flatMap(outcome => ('error' in outcome ? [outcome] : []));
  const [first] = failed;
  if (first === undefined) {
    if (outcomes.length === 0) say(ui.emit, 'info', 'no image applies it: nothing to update');
    return 0;
  }
  if (failed.length === 1) throw first.error;
  throw new StkError(
    first.error.code,
    `${failed.length} of ${outcomes.length} images could not be updated:\n${failed
      .map(({ target, error }) => `${target.image.name}: ${error.message}`)
      .join('\n')}`,
    { cause: first.error, ...(first.error.hint === undefined ? {} : { hint: first.error.hint }) },
  );
}

function wantedParts(flags: UpdateFlags): WantedParts {
  const { apply, base, all } = flags;
  if (apply.length === 0 && base === undefined && !all) {
    throw new StkError('usage', 'say what to swap', {
      hint: '--apply NAME[=REF], --base [REF], or --all for everything',
    });
  }
  const applied = new Map<string, string | undefined>();
  for (const text of apply) {
    const [name = '', ref] = text.split(/=(.*)/s, 2);
    if (name === '' || ref === '') throw new StkError('usage', `--apply ${text}: write NAME or NAME=REF`);
    applied.set(name, ref);
  }
  return {
    applied: apply.length === 0 && base === undefined ? 'all' : applied,
    base: base === undefined ? 'stay' : { ref: base === true ? undefined : base },
  };
}

function parseRule(text: string): ConflictRule {
  const at = text.lastIndexOf('=');
  if (at <= 0) throw new StkError('usage', `--conflict ${text}: write GLOB=HOW`, { hint: "such as '/etc/motd=last'" });
  return conflictRule(text.slice(0, at), text.slice(at + 1));
}
