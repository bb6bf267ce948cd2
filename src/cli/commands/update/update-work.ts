import type { ConflictRule } from '../../../apply/merge-problem.ts';
import type { AsyncScope } from '../../../core/async-scope.ts';
import { joinInside, type AbsPath } from '../../../core/paths.ts';
import { mkdir } from '../../../host/files.ts';
import { defaultPackOptions } from '../../../layer/pack-options.ts';
import { isLayout } from '../../../oci/layout.ts';
import { nameIn, type ImageName } from '../../../oci/image-name.ts';
import type { OpenLayers } from '../../../lazy/open-layers.ts';
import { updateImage, type UpdatedImage } from '../../../update/update-image.ts';
import { publishUpdate } from '../../../update/update-publish.ts';
import type { Session } from '../../session.ts';
import type { Ui } from '../../ui/open-ui.ts';
import type { Signer } from '../publish/sign.ts';
import type { PartsFinder, WantedParts } from '../../../update/find-parts.ts';
import { regenerateInLayout } from './update-regenerate.ts';
import { missingBytes, type UpdateOutcome } from './update-report.ts';
import type { UpdateTarget } from '../../../update/find-targets.ts';

/** What all images of one command have in common. */
export interface UpdateRun {
  readonly session: Session;
  readonly dryRun: boolean;
  readonly wanted: WantedParts;
  readonly rules: readonly ConflictRule[];
  readonly parts: PartsFinder;
  readonly signer: Signer | undefined;
  readonly ui: Ui;
  readonly scope: AsyncScope;
  /** Layers that several of the images have. */
  readonly shared: OpenLayers;
  /** Each image has its own directory below. */
  readonly scratch: AbsPath;
  /** RFC 3339, the same for all images. */
  readonly created: string;
  readonly epochSeconds: number | undefined;
}

/** The next version of an image; `undefined`: it is what it was. */
export interface ComputedUpdate {
  readonly target: UpdateTarget;
  readonly updated: UpdatedImage | undefined;
}

let lastScratch = 0;

/** Computes the next version of one image; writes nothing that lasts. */
export async function computeUpdate(
  run: UpdateRun,
  target: UpdateTarget,
  signal: AbortSignal,
): Promise<ComputedUpdate> {
  const { image } = target;
  const { epochSeconds, created, rules, session, scope, ui } = run;
  const parts = await run.parts.find(image, run.wanted);
  const scratch = joinInside(run.scratch, String(++lastScratch));
  await mkdir(scratch);
  const packing = { packing: defaultPackOptions, epochSeconds };
  const updated = await updateImage(image, parts, {
    ...packing,
    scratch,
    created,
    rules,
    shared: run.shared,
    regenerate: isLayout(image.store)
      ? regenerateInLayout({ ...packing, session, layout: image.store, scope, ui, scratch, signal })
      : undefined,
    emit: ui.emit,
    signal,
  });
  return { target, updated };
}

/** Writes what was computed, unless it is only to be looked at. */
export async function finishUpdate(
  run: UpdateRun,
  { target, updated }: ComputedUpdate,
  signal: AbortSignal,
): Promise<UpdateOutcome> {
  if (updated === undefined) return { target, unchanged: true };
  const { signer, ui } = run;
  const { store } = target.image;
  if (run.dryRun) return { target, updated, missing: await missingBytes(store, updated, signal) };
  const { sentBytes } = await publishUpdate(store, updated, {
    tag: target.tag,
    expected: target.expected,
    sign: signer && (manifest => signer.sign(store, manifest, signedName(target), ui.emit)),
    emit: ui.emit,
    signal,
  });
  return { target, updated, sentBytes };
}

/** What the signature calls the image. */
function signedName({ image, tag }: UpdateTarget): ImageName {
  return nameIn(image.store.place, tag) ?? { kind: 'tag', tag };
}
