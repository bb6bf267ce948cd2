import { StkError } from '../core/errors.ts';
import { formatBytes } from '../core/bytes.ts';
import type { Digest } from '../core/digest.ts';
import { say, withTask, type Emit } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import type { PackOptions } from '../layer/pack-options.ts';
import { packLayer } from '../layer/pack.ts';
import { imageLayers, readLayeredImage, type LayeredImage } from '../mount/image-layers.ts';
import { composeImage, type ComposedLayer } from '../oci/compose.ts';
import type { Descriptor, ImageConfig, Platform } from '../oci/descriptor.ts';
import { APPLY_LIST, BASE_CONFIG, baseConfigAnnotation } from '../oci/layer-annotations.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { BASE_DIGEST, BASE_NAME, baseAnnotations } from '../sources/bases.ts';
import { layerDescriptor, withRole } from '../sources/layer-descriptor.ts';
import { lowerStack } from '../sources/lower-stack.ts';
import { readImageConfig } from './bundle-source.ts';
import { applyChanges, type ConfigChange } from './commit-changes.ts';
import { snapshotUpper } from './commit-upper.ts';
import { dropIdleWhiteouts } from './commit-whiteouts.ts';
import { putDocument } from '../oci/put-document.ts';

export interface CommitRequest {
  /** An overlay's upper directory, at rest until this ends; it is not changed. */
  readonly upper: AbsPath;
  /** The image that it was written on. */
  readonly base: {
    readonly layout: LayoutStore;
    readonly tag: string;
    /** The manifest or index, wherever the tag points by now. */
    readonly digest?: Digest | undefined;
  };
  readonly target: { readonly layout: LayoutStore; readonly tag: string };
  readonly platform: Platform;
  readonly packing: PackOptions;
  readonly changes: readonly ConfigChange[];
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  /** Seconds since the Unix epoch: what is newer is set to it, and it is when the image was made. */
  readonly epochSeconds?: number | undefined;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

export interface Committed {
  /** Of the manifest. */
  readonly image: Descriptor;
  /** `undefined` where nothing had been written: the image has the layers of its base. */
  readonly layer: Descriptor | undefined;
}

/**
 * Makes an image of another one and what was written on it: one more layer, as an overlay's upper directory holds it,
 * whiteouts included. The tag moves last; killed before, nothing of it can be seen. Throws what `packLayer`,
 * `snapshotUpper` and `imageLayers` throw, and `not-found` where layers of the base are missing.
 */
export async function commitImage(request: CommitRequest): Promise<Committed> {
  const { base, target, signal } = request;
  const image = await readLayeredImage({ ...base, platform: request.platform });
  const config = await readImageConfig(base.layout, image, signal);
  const baseLayers = composedLayers(base.layout, image, config);
  await assertPresent(base.layout, image, baseLayers);
  await using _blobs = await target.layout.lockBlobs('shared', { signal });
  const layer = await packUpper(request, baseLayers);
  await copyLayers(request, baseLayers);
  const descriptor = await writeImage(request, { image, config, baseLayers, layer });
  await target.layout.tag(descriptor, target.tag, signal);
  return { image: descriptor, layer };
}

/**
 * What was applied stays what it is, and can be updated below the new layer. The layers of an image that applies nothing
 * are the new one's base.
 */
function composedLayers(layout: LayoutStore, image: LayeredImage, config: ImageConfig): readonly ComposedLayer[] {
  const diffIds = config.rootfs.diff_ids;
  const layers = imageLayers(layout, image);
  if (diffIds.length !== layers.length) {
    throw new StkError('invalid-input', `${image.name} has ${layers.length} layers and ${diffIds.length} diff IDs`, {
      hint: 'the image is wrong; have its maker mend it',
    });
  }
  const applies = image.manifest.annotations?.[APPLY_LIST] !== undefined;
  return layers.map(({ descriptor }, index) => ({
    descriptor: applies ? descriptor : withRole(descriptor, 'base'),
    diffId: diffIds[index]!,
  }));
}

async function assertPresent(
  layout: LayoutStore,
  image: LayeredImage,
  layers: readonly ComposedLayer[],
): Promise<void> {
  for (const { descriptor } of layers) {
    if (await layout.hasBlob(descriptor)) continue;
    throw new StkError('not-found', `${image.name}: its layer ${descriptor.digest} is not there`, {
      hint: 'build or fetch the image again',
      facts: { digest: descriptor.digest },
    });
  }
}

async function packUpper(request: CommitRequest, below: readonly ComposedLayer[]): Promise<Descriptor | undefined> {
  const { base, target, packing, emit, signal } = request;
  return withTask(
    emit,
    { group: target.tag, kind: 'pack', label: 'commit' },
    async task => {
      await using snapshot = await snapshotUpper(request.upper, signal);
      await using temporary = await target.layout.makeTemp();
      await using lower = lowerStack(base.layout, async () =>
        below.map(({ descriptor }) => ({ squashfs: descriptor })),
      );
      await dropIdleWhiteouts(snapshot.path, lower, signal);
      const output = joinInside(temporary.path, 'layer');
      const packed = await packLayer({
        upper: snapshot.path,
        lower,
        output,
        options: packing,
        epochSeconds: request.epochSeconds,
        signal,
        onProgress: done => task.progress(done),
        onWarning: text => say(emit, 'warning', text, target.tag),
      });
      if (packed.empty) {
        task.finish('done', 'no change');
        return undefined;
      }
      const descriptor = layerDescriptor(packed, packing, 'commit');
      await target.layout.adoptBlob(output, descriptor);
      task.finish('done', formatBytes(packed.sizeBytes));
      return descriptor;
    },
    signal,
  );
}

/** Into another layout, layers of the base go along. */
async function copyLayers({ base, target, emit, signal }: CommitRequest, layers: readonly ComposedLayer[]) {
  if (base.layout.directory === target.layout.directory) return;
  for (const { descriptor } of layers) {
    if (await target.layout.hasBlob(descriptor)) continue;
    const { digest } = descriptor;
    await withTask(
      emit,
      { group: target.tag, kind: 'copy', label: digest.slice(0, 19) },
      task =>
        target.layout.putBlob(
          descriptor,
          () => base.layout.readBlob(descriptor, { signal, onProgress: done => task.progress(done) }),
          { signal, verified: true },
        ),
      signal,
    );
  }
}

async function writeImage(
  request: CommitRequest,
  found: {
    readonly image: LayeredImage;
    readonly config: ImageConfig;
    readonly baseLayers: readonly ComposedLayer[];
    readonly layer: Descriptor | undefined;
  },
): Promise<Descriptor> {
  const { target, author, epochSeconds, signal } = request;
  const { image, config, baseLayers, layer } = found;
  const created = new Date(epochSeconds === undefined ? Date.now() : epochSeconds * 1000).toISOString();
  const { os, architecture, variant } = config;
  const added = {
    layer: layer && { descriptor: layer, diffId: layer.digest },
    created,
    createdBy: 'stk commit',
    author,
    comment: request.message,
  };
  const documents = composeImage({
    platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    base: config,
    baseLayers,
    added: [added],
    config: applyChanges(config.config ?? {}, request.changes),
    annotations: standsOn(request, image, config),
    created,
    author,
  });
  for (const document of [documents.config, documents.manifest]) {
    await putDocument(target.layout, document, { signal });
  }
  return documents.manifest.descriptor;
}

/**
 * What the new image stands on. One that applies others is a next version of the image, with the same record of what is
 * applied; any other stands on the image as a whole.
 */
function standsOn({ base }: CommitRequest, image: LayeredImage, config: ImageConfig): Record<string, string> {
  const known = image.manifest.annotations ?? {};
  if (known[APPLY_LIST] !== undefined) {
    const kept = [BASE_NAME, BASE_DIGEST, BASE_CONFIG, APPLY_LIST];
    return Object.fromEntries(kept.flatMap(name => (known[name] === undefined ? [] : [[name, known[name]]])));
  }
  return { ...baseAnnotations({ name: base.tag, digest: image.digest }), ...baseConfigAnnotation(config.config) };
}
