import type { ConflictRule } from '../apply/merge-problem.ts';
import type { Digest } from '../core/digest.ts';
import type { Emit } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir } from '../host/files.ts';
import { defaultPackOptions } from '../layer/pack-options.ts';
import type { OpenLayers } from '../lazy/open-layers.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { nameIn, type ImageName } from '../oci/image-name.ts';
import { isLayout } from '../oci/layout.ts';
import type { PartsFinder, WantedParts } from './find-parts.ts';
import type { FailedTarget, UpdateTarget } from './find-targets.ts';
import type { LeftBehind } from './left-behind.ts';
import { adoptImage } from './adopt-image.ts';
import { assumeImage } from './assumed-image.ts';
import { missingBytes } from './missing-bytes.ts';
import { regenerateInLayout, type OpenPlace } from './regenerate-in-layout.ts';
import { squashfsImage, type OpenConverter } from './squashfs-parts.ts';
import { resultForm, type LayerType } from './tar-results.ts';
import { updateImage, type UpdatedImage } from './update-image.ts';
import { replaceInIndex } from './update-index.ts';
import { publishUpdate } from './update-publish.ts';

/** What all images of one run have in common. */
export interface UpdateRun {
  readonly dryRun: boolean;
  readonly wanted: WantedParts;
  readonly rules: readonly ConflictRule[];
  readonly parts: PartsFinder;
  /** Signs a manifest or index under its name. */
  readonly sign: ((store: BlobStore, subject: Descriptor, name: ImageName) => Promise<void>) | undefined;
  /** Looks at a new version, which its digest names, before the tag moves. */
  readonly check?: ((target: UpdateTarget, subject: Descriptor) => Promise<void>) | undefined;
  /** Called right before a tag moves. */
  readonly beforeMove?: ((target: UpdateTarget, subject: Descriptor) => Promise<void>) | undefined;
  readonly openPlace: OpenPlace;
  /** Opens what reads tar layers as squashfs, and makes tar layers. */
  readonly converter: () => Promise<OpenConverter>;
  /** What new layers are; by default what those of the image are. */
  readonly layerType: LayerType | undefined;
  readonly emit: Emit;
  /** Layers that several of the images have. */
  readonly shared: OpenLayers;
  /** Each image has its own directory below. */
  readonly scratch: AbsPath;
  /** RFC 3339, the same for all images. */
  readonly created: string;
  readonly epochSeconds: number | undefined;
  /** Contents that a layer may hold for nothing but their owners. */
  readonly renumberLimitBytes: number;
}

/** The next version of an image; `undefined`: it is what it was. */
export interface ComputedUpdate {
  readonly target: UpdateTarget;
  readonly updated: UpdatedImage | undefined;
}

/** How the update of one image ended. */
export type UpdateOutcome =
  | { readonly target: UpdateTarget; readonly unchanged: true }
  | { readonly failed: FailedTarget }
  | { readonly left: LeftBehind }
  /** Only looked at: what it would take. */
  | { readonly target: UpdateTarget; readonly updated: UpdatedImage; readonly missing: number }
  | { readonly target: UpdateTarget; readonly updated: UpdatedImage; readonly sentBytes: number };

/** Images of one tag: one alone, or those of an index. */
export interface UpdateGroup {
  /** The first of them. */
  readonly target: UpdateTarget;
  readonly members: readonly ComputedUpdate[];
}

let lastScratch = 0;

/** Computes the next version of one image; writes nothing that lasts. */
export async function computeUpdate(
  run: UpdateRun,
  target: UpdateTarget,
  signal: AbortSignal,
): Promise<ComputedUpdate> {
  const { image } = target;
  const { epochSeconds, created, rules, renumberLimitBytes, openPlace, emit } = run;
  const { foreign } = run.wanted;
  if (foreign?.kind === 'adopt') return { target, updated: await adoptImage(run.parts, image, foreign) };
  const found = await squashfsImage(image, run.converter, signal);
  const { image: work, parts } = foreign
    ? await assumeImage(run.parts, image, found, foreign)
    : { image: found, parts: await run.parts.find(image, run.wanted, found) };
  const scratch = joinInside(run.scratch, String(++lastScratch));
  await mkdir(scratch);
  const packing = { packing: defaultPackOptions, epochSeconds };
  const updated = await updateImage(work, parts, {
    ...packing,
    scratch,
    created,
    rules,
    renumberLimitBytes,
    shared: run.shared,
    form: resultForm(work, parts, { type: run.layerType, scratch, converter: run.converter, emit, signal }),
    regenerate: isLayout(work.store)
      ? regenerateInLayout({ ...packing, platform: work.config, openPlace, emit, scratch, signal })
      : undefined,
    emit,
    signal,
  });
  return { target, updated };
}

/** Puts images of one index together: its tag moves once. */
export function groupByTag(computed: readonly ComputedUpdate[]): readonly UpdateGroup[] {
  const groups = new Map<object, ComputedUpdate[]>();
  for (const each of computed) {
    const key = each.target.index ?? each;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].map(members => ({ target: members[0]!.target, members }));
}

/** Writes what was computed, unless it is only to be looked at. */
export async function finishUpdate(
  run: UpdateRun,
  { target, members }: UpdateGroup,
  signal: AbortSignal,
): Promise<readonly UpdateOutcome[]> {
  const { store } = target.image;
  const changed = members.flatMap(({ target: each, updated }) => (updated ? [{ target: each, updated }] : []));
  const unchanged = members.flatMap(({ target: each, updated }) =>
    updated ? [] : [{ target: each, unchanged: true as const }],
  );
  if (changed.length === 0) return unchanged;
  if (run.dryRun) {
    const looked: UpdateOutcome[] = [];
    for (const each of changed) looked.push({ ...each, missing: await missingBytes(store, each.updated, signal) });
    return [...unchanged, ...looked];
  }
  const replaced = new Map<Digest, Descriptor>(
    changed.map(({ target: { image }, updated }) => [image.descriptor.digest, updated.manifest.descriptor]),
  );
  const index = target.index && replaceInIndex(target.index, replaced);
  const { sign, check, beforeMove } = run;
  const sent = await publishUpdate(
    store,
    { images: changed.map(each => each.updated), index },
    {
      tag: target.tag,
      expected: target.expected,
      sign: sign && (subject => sign(store, subject, signedName(target))),
      check: check && (subject => check(target, subject)),
      beforeMove: beforeMove && (subject => beforeMove(target, subject)),
      emit: run.emit,
      signal,
    },
  );
  return [...unchanged, ...changed.map((each, at) => ({ ...each, sentBytes: sent[at]!.sentBytes }))];
}

/** What the signature calls the image. */
function signedName({ image, tag }: UpdateTarget): ImageName {
  return nameIn(image.store.place, tag) ?? { kind: 'tag', tag };
}
