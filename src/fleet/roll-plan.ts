import type { WantedParts } from '../update/find-parts.ts';
import type { Fleet } from './fleet-model.ts';
import type { ImageState, PartState } from './image-state.ts';
import type { SelectedTag } from './select-images.ts';
import type { SurveyedTag } from './survey.ts';

/** What a roll does with the images of a fleet. */
export interface RollPlan {
  /** Behind, in the order of the fleet. */
  readonly due: readonly SurveyedTag[];
  /** Behind, and more than one run may update. */
  readonly later: readonly SurveyedTag[];
  /** Behind, and not to be moved on its own. */
  readonly waiting: readonly SurveyedTag[];
  readonly current: readonly SurveyedTag[];
}

export interface PlanOptions {
  /** Images that are meant, those that wait included; `undefined`: all that need not wait. */
  readonly only: ((selected: SelectedTag) => boolean) | undefined;
  /** Most images. */
  readonly limit: number | undefined;
}

/** Pure: the same survey and options give the same plan. */
export function planRoll(tags: readonly SurveyedTag[], fleet: Fleet, { only, limit }: PlanOptions): RollPlan {
  const meant = tags.filter(({ selected }) => only?.(selected) ?? true);
  const behind = meant.filter(({ images }) => images.some(image => dueParts(image, fleet).length > 0));
  const mayMove = (tag: SurveyedTag) => only !== undefined || tag.selected.by.move === 'always';
  const due = behind.filter(mayMove);
  return {
    due: due.slice(0, limit),
    later: limit === undefined ? [] : due.slice(limit),
    waiting: behind.filter(tag => !mayMove(tag)),
    current: meant.filter(tag => !behind.includes(tag)),
  };
}

/** The parts of an image that a fleet wants to be moved. */
export function dueParts(image: ImageState, { apply, base, isWanted }: Fleet): readonly PartState[] {
  return image.parts.filter(part => {
    const { kind, name, state } = part;
    if (state !== 'behind' || isWanted?.(image, part) === false) return false;
    return kind === 'base' ? base : apply === 'all' || apply.has(name);
  });
}

/** The same as an update takes it; `undefined` where nothing is to be moved. */
export function wantedOf(image: ImageState, fleet: Fleet): WantedParts | undefined {
  const due = dueParts(image, fleet);
  if (due.length === 0) return undefined;
  const given = fleet.apply === 'all' ? new Map<string, string | undefined>() : fleet.apply;
  const applied = due.filter(({ kind }) => kind === 'apply').map(({ name }) => [name, given.get(name)] as const);
  return {
    applied: new Map(applied),
    base: due.some(({ kind }) => kind === 'base') ? { ref: undefined } : 'stay',
  };
}

/** The tag that a new version gets. */
export function targetTag({ tag, by }: SurveyedTag['selected'], day: string): string {
  return by.tag === undefined ? tag : by.tag.replaceAll('{tag}', tag).replaceAll('{date}', day);
}
