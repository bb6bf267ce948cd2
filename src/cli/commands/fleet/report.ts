import { AsyncScope } from '../../../core/async-scope.ts';
import { absPath } from '../../../core/paths.ts';
import type { ImageState } from '../../../fleet/image-state.ts';
import type { Verdict } from '../../../fleet/judge-findings.ts';
import { reportData } from '../../../fleet/report-data.ts';
import { reportPage } from '../../../fleet/report-page.ts';
import { throwFailedPlaces } from '../../../fleet/survey.ts';
import { writeFileAtomic } from '../../../host/atomic-write.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { parseEpoch } from '../build/build-options.ts';
import { judgeImages, readReports } from './judge-images.ts';
import { surveyImages } from './survey-images.ts';

export interface ReportPageFlags extends ImageFlags {
  readonly fleet?: string;
  readonly output?: string;
  readonly report: readonly string[];
  readonly title?: string;
  readonly json?: boolean;
}

/** `stk report [PLACE…]`: one page about many images and the layers that they share. */
export async function runReportPage(
  session: Session,
  refs: readonly string[],
  flags: ReportPageFlags,
): Promise<number> {
  await using scope = new AsyncScope();
  const wish = { refs, fleet: flags.fleet, tlsVerify: flags.tlsVerify, countVersions: true };
  const { images, failed, tlsVerify } = await surveyImages(session, wish, scope);
  const findings = await readReports(session, flags.report);
  const judged = findings.length === 0 ? [] : await judgeImages(session, images, findings, { tlsVerify, scope });
  const verdicts = new Map<ImageState, readonly Verdict[]>(judged.map(each => [each.image, each.verdicts]));
  const epochSeconds = parseEpoch(session.environment['SOURCE_DATE_EPOCH']);
  const created = new Date(epochSeconds === undefined ? Date.now() : epochSeconds * 1000).toISOString();
  const title = flags.title ?? `Images of ${flags.fleet ?? (refs.join(', ') || 'the layout')}`;
  const data = reportData(images, verdicts, { title, created });
  const text = flags.json ? `${jsonText(data, 2)}\n` : reportPage(data);
  if (flags.output === undefined || flags.output === '-') session.stdout.write(text);
  else await writeFileAtomic(absPath(flags.output, session.workingDirectory), text);
  throwFailedPlaces(failed);
  return 0;
}
