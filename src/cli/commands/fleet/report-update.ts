import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import type { ImageState, PartState } from '../../../fleet/image-state.ts';
import { throwFailedPlaces } from '../../../fleet/survey.ts';
import type { Finding } from '../../../fleet/vulnerability-report.ts';
import { formatPlatform } from '../../../oci/platform.ts';
import type { WantedParts } from '../../../update/find-parts.ts';
import { EXIT } from '../../exit-status.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { updateImages } from '../update/update.ts';
import { beforeFirstWrite } from './first-write.ts';
import { judgeImages, readReports, type JudgedImage } from './judge-images.ts';
import { runRoll, type RollFlags } from './roll.ts';
import { writeVex } from './write-vex.ts';
import { surveyImages } from './survey-images.ts';

export interface ReportFlags extends Omit<RollFlags, 'fleet'> {
  readonly fleet?: string;
  readonly report: readonly string[];
  readonly vex?: string;
}

/**
 * `stk update --report FILE`: swaps the parts of images whose newest versions are without what was found. Status 13 where
 * something stays.
 */
export async function runReportUpdate(session: Session, ref: string | undefined, flags: ReportFlags): Promise<number> {
  assertFlags(ref, flags);
  const findings = await readReports(session, flags.report);
  const judged = await judge(session, ref, flags, findings);
  const isLeft = judged.some(({ verdicts }) => verdicts.some(({ isFixed }) => !isFixed));
  const helping = new Set(
    judged.flatMap(({ image, verdicts }) => verdicts.flatMap(each => (each.isFixed ? partKey(image, each.part!) : []))),
  );
  const text = () => (flags.json ? `{"findings":${jsonText(judged.flatMap(verdictJson))},"updates":` : textOf(judged));
  const { stream, isWritten } = beforeFirstWrite(session.stdout, text);
  const told = { ...session, stdout: stream };
  let status: number = EXIT.ok;
  if (helping.size === 0) stream.write(flags.json ? '[]\n' : '');
  else if (flags.fleet !== undefined) {
    const isWanted = (image: ImageState, part: PartState) => helping.has(partKey(image, part));
    status = await runRoll(told, undefined, { ...flags, fleet: flags.fleet }, isWanted);
  } else
    status = await updateImages(
      told,
      ref,
      { ...flags, dryRun: flags.dryRun === true || flags.plan === true },
      wantedParts(judged),
    );
  // Where all was done anew inside of namespaces, all was told there.
  if (!isWritten()) return status;
  if (flags.json) session.stdout.write('}\n');
  if (flags.vex !== undefined) {
    const isLook = flags.dryRun === true || flags.plan === true;
    await writeVex(session, flags.vex, judged, { isLook, tlsVerify: flags.tlsVerify });
  }
  return status === EXIT.ok && isLeft ? EXIT.differs : status;
}

async function judge(
  session: Session,
  ref: string | undefined,
  flags: ReportFlags,
  findings: readonly Finding[],
): Promise<readonly JudgedImage[]> {
  await using scope = new AsyncScope();
  const refs = ref === undefined ? [] : [ref];
  const wish = { refs, fleet: flags.fleet, tlsVerify: flags.tlsVerify, countVersions: false };
  const { images, failed, tlsVerify } = await surveyImages(session, wish, scope);
  throwFailedPlaces(failed);
  return await judgeImages(session, images, findings, { tlsVerify, scope });
}

/** The parts that help in any image of an index help in all. */
function wantedParts(judged: readonly JudgedImage[]): WantedParts {
  const parts = judged.flatMap(({ verdicts }) =>
    verdicts.flatMap(({ part, isFixed }) => (part && isFixed ? [part] : [])),
  );
  return {
    applied: new Map(parts.filter(({ kind }) => kind === 'apply').map(({ name }) => [name, undefined])),
    base: parts.some(({ kind }) => kind === 'base') ? { ref: undefined } : 'stay',
  };
}

function partKey(image: ImageState, part: PartState): string {
  return [image.store.name, image.digest, part.kind, part.name].join('\0');
}

function textOf(judged: readonly JudgedImage[]): string {
  const lines: string[] = [];
  for (const { image, verdicts } of judged) {
    if (verdicts.length === 0) continue;
    const fixed = verdicts.filter(({ isFixed }) => isFixed).length;
    lines.push(
      `${shownName(image)}: ${verdicts.length} found, ${fixed} fixed by newer parts, ${verdicts.length - fixed} stay`,
    );
    for (const { finding, part, isFixed, why } of verdicts) {
      const { id, package: name, installed, severity } = finding;
      const by = part?.kind === 'base' ? 'the new base' : `the new ${part?.name}`;
      lines.push(
        `  ${isFixed ? '+' : '-'} ${id} ${severity} ${name} ${installed}: ${isFixed ? `fixed by ${by}` : why}`,
      );
    }
  }
  if (lines.length === 0) lines.push('none of the images has a layer with anything that was found');
  return `${lines.map(printableLine).join('\n')}\n`;
}

function verdictJson({ image, verdicts }: JudgedImage): readonly object[] {
  return verdicts.map(({ finding, part, isFixed, why }) => ({
    image: image.name,
    ...(image.platform && { platform: formatPlatform(image.platform) }),
    ...finding,
    part: part && { kind: part.kind, name: part.name, ref: part.ref, held: part.held, now: part.now },
    status: isFixed ? 'fixed' : 'affected',
    why,
  }));
}

function shownName({ name, platform }: ImageState): string {
  return platform ? `${name} (${formatPlatform(platform)})` : name;
}

function assertFlags(ref: string | undefined, flags: ReportFlags): void {
  const { fleet, all, apply, base, rebase, replaceLayers } = flags;
  if (all || apply.length > 0 || base !== undefined || rebase || replaceLayers.length > 0) {
    throw new StkError('usage', '--report says what is swapped: it goes with nothing else that does');
  }
  if ((ref === undefined) === (fleet === undefined)) {
    throw new StkError('usage', '--report needs one image, or --fleet FILE');
  }
}
