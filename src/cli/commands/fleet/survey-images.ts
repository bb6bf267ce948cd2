import { stateDirectories } from '../../../builder/state-directories.ts';
import type { AsyncScope } from '../../../core/async-scope.ts';
import type { Fleet } from '../../../fleet/fleet-model.ts';
import type { ImageState } from '../../../fleet/image-state.ts';
import type { FailedPlace } from '../../../fleet/select-images.ts';
import { Surveyor } from '../../../fleet/survey.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { Session } from '../../session.ts';
import { openFleet, wantedTags } from './fleet-file.ts';

/** Which images a command is about, as its line says. */
export interface SurveyWish {
  readonly refs: readonly string[];
  /** A fleet file, in place of the refs. */
  readonly fleet: string | undefined;
  readonly tlsVerify: boolean | undefined;
  readonly countVersions: boolean;
}

export interface SurveyedImages {
  readonly images: readonly ImageState[];
  readonly failed: readonly FailedPlace[];
  /** What the command line and the fleet file say together. */
  readonly tlsVerify: boolean;
}

/** Looks at the images that a command names, or its fleet file does. What is opened belongs to the scope. */
export async function surveyImages(session: Session, wish: SurveyWish, scope: AsyncScope): Promise<SurveyedImages> {
  const { stores, signal } = session;
  const fleet = wish.fleet === undefined ? undefined : await openFleet(session, wish.fleet);
  const tlsVerify = wish.tlsVerify !== false && fleet?.tlsVerify !== false;
  const ports = { stores, tlsVerify, scope, signal };
  const selected = await wantedTags(wish.refs, fleet, ports);
  const surveyor = makeSurveyor(session, fleet, { ...ports, countVersions: wish.countVersions });
  const { tags, failed } = await surveyor.all(selected.tags);
  return { images: tags.flatMap(each => each.images), failed: [...selected.failed, ...failed], tlsVerify };
}

/** One that compares with what a fleet gives to its images, where it does. */
export function makeSurveyor(
  session: Session,
  fleet: Fleet | undefined,
  ports: Omit<ConstructorParameters<typeof Surveyor>[0], 'records' | 'given'>,
): Surveyor {
  return new Surveyor({
    ...ports,
    records: new RecordCache(stateDirectories(session.global.stkDir).records),
    ...(fleet && fleet.apply !== 'all' ? { given: fleet.apply } : {}),
  });
}
