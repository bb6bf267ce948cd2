import type { JsonValue } from '../core/canonical-json.ts';
import type { Digest } from '../core/digest.ts';
import { mapLimited } from '../core/limiter.ts';
import { formatAppliedEntries, APPLY_LIST, baseConfigAnnotation, type AppliedEntry } from '../oci/layer-annotations.ts';
import type { Platform } from '../oci/descriptor.ts';
import { contentKey } from '../plan/content-key.ts';
import type { ApplyEntry, ImageReference } from '../recipe/model.ts';
import { baseAnnotations, identifyBase, type KnownBase } from '../sources/bases.ts';
import { MERGE_VERSION, type KnownApplied, type StackParts } from './applied-layers.ts';
import type { ImageBuild } from './image-build.ts';

/** What the steps of an image stand on, as far as it is known before anything is brought. */
export interface ImageStack {
  /** Decides everything that is built on it. */
  readonly key: Digest;
  readonly base: KnownBase;
  /** In the order of application. */
  readonly applied: readonly KnownApplied[];
  /** Annotations for the manifest: the base, and what is applied. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Brings all of it into the layout; the first call does the work. */
  readonly parts: () => Promise<StackParts>;
}

/** Finds out what an image stands on with as few bytes as possible. */
export async function identifyStack(build: ImageBuild, platform: Platform, packing: JsonValue): Promise<ImageStack> {
  const { definition, bases, signal } = build;
  const base = await identifyBase(definition.from, { platform, packing }, bases, signal);
  const known = await mapLimited(
    definition.apply,
    4,
    async (entry, inner): Promise<KnownApplied> => {
      const reference = { ...entry.reference, span: entry.span };
      const image = await identifyBase(reference, { platform, packing }, bases, inner);
      return { entry, image, applied: appliedEntry(entry, image) };
    },
    signal,
  );
  let parts: Promise<StackParts> | undefined;
  return {
    key: known.length === 0 ? base.key : stackKey(base, known, packing, build.options.epochSeconds),
    base,
    applied: known,
    annotations: {
      ...baseAnnotations(base),
      ...baseConfigAnnotation(base.config?.config),
      ...(known.length === 0 ? {} : { [APPLY_LIST]: formatAppliedEntries(known.map(({ applied }) => applied)) }),
    },
    parts: () => (parts ??= bring(build, base, known)),
  };
}

async function bring(build: ImageBuild, base: KnownBase, known: readonly KnownApplied[]): Promise<StackParts> {
  if (known.length === 0)
    return { base: await base.layers(build.signal), applied: { layers: [], settled: [], remarks: [], entries: [] } };
  const { applyImages } = await import('./apply-images.ts');
  return applyImages(build, base, known);
}

function stackKey(
  base: KnownBase,
  known: readonly KnownApplied[],
  packing: JsonValue,
  epochSeconds: number | undefined,
): Digest {
  const applied = known.map(({ image, applied: { anyBase, conflicts } }) => ({
    key: image.key,
    anyBase,
    conflicts: conflicts.map(([glob, resolution]) => [glob, resolution]),
  }));
  return contentKey('apply', base.key, { applied, packing, version: MERGE_VERSION, epoch: epochSeconds ?? null });
}

function appliedEntry({ reference, conflicts, anyBase }: ApplyEntry, image: KnownBase): AppliedEntry {
  return {
    name: applyName(reference),
    ref:
      reference.type === 'built' ? reference.image : reference.type === 'oci' ? `oci:${reference.url}` : reference.url,
    digest: image.digest!,
    anyBase,
    conflicts: conflicts.map(({ glob, resolution }) => [glob, resolution]),
  };
}

/** How reports and annotations call an applied image. */
function applyName(reference: ImageReference): string {
  switch (reference.type) {
    case 'built':
      return reference.image;
    case 'oci':
      return reference.tag;
    case 'docker':
      return reference.url
        .replace(/^docker:\/\//, '')
        .replace(/@[^/]*$/, '')
        .replace(/:[^/:]*$/, '')
        .split('/')
        .at(-1)!;
  }
}
