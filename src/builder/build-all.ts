import type { Remark } from '../apply/driver.ts';
import type { CacheKey, Digest } from '../core/digest.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { say, type Emit, type TaskOutcome } from '../core/events.ts';
import { isStkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor, Platform } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { runGraph, topologicalOrder } from '../plan/run-graph.ts';
import type { ImageDefinition, Recipe } from '../recipe/model.ts';
import type { LayerConverter } from '../sources/convert-layers.ts';
import type { FileDigests } from '../sources/file-digests.ts';
import { HttpFiles, type DownloadFile } from '../sources/http-file.ts';
import type { OpenImageStore } from '../sources/ports.ts';
import { RecordCache } from '../sources/record-cache.ts';
import type { StepCaches } from '../sources/step-cache.ts';
import type { MergedPath, MergeRecord } from './applied-layers.ts';
import { buildImage } from './build-image.ts';
import { rememberBuilt } from './built-image.ts';
import type { ImageResult } from './find-image.ts';
import { imagePlatform } from './image-platform.ts';
import { imageGraph } from './image-graph.ts';
import type { StepOutcome } from './image-build.ts';
import type { ImageOrigin } from './image-origin.ts';
import type { Workshop } from './do-step.ts';
import { tagFor, type LayerType } from './layer-types.ts';
import type { BuildOptions } from './options.ts';
import { provenanceOf, type Provenance } from './provenance.ts';
import type { StateDirectories } from './state-directories.ts';

export interface BuildAll {
  readonly recipes: readonly Recipe[];
  readonly options: BuildOptions;
  readonly layout: LayoutStore;
  readonly state: StateDirectories;
  readonly files: FileDigests;
  readonly openStore: OpenImageStore;
  readonly download: DownloadFile;
  /** Called at the first thing that is not in the cache; may refuse by throwing. */
  readonly workshop: () => Promise<Workshop>;
  /** Steps shared with other machines. */
  readonly stepCaches?: StepCaches | undefined;
  /** No tag moves: an index will name the images. What a name stands for is remembered for those alone that are new to it. */
  readonly partOfIndex?: { readonly known: { has(name: string): boolean } } | undefined;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** One image of a finished build. */
export interface BuildResult {
  readonly name: string;
  readonly buildOnly: boolean;
  readonly cached: boolean;
  readonly platform: Platform;
  /** One for each layer type. */
  readonly manifests: readonly Descriptor[];
  /** Empty for a `build_only` image. */
  readonly tags: readonly { readonly tag: string; readonly type: LayerType; readonly manifest: Descriptor }[];
  readonly digest: Digest;
  readonly layers: readonly Descriptor[];
  /** What its merge layer settled; empty where it applies nothing. */
  readonly merged: readonly MergedPath[];
  /** What a person should know of the merge. */
  readonly remarks: readonly Remark[];
  /** Where it was built for several: each of them. */
  readonly platforms?: readonly {
    readonly platform: string;
    readonly digest: Digest;
    readonly layers: readonly Descriptor[];
  }[];
  readonly origin: ImageOrigin;
}

/** Builds the wanted images and what they need, side by side where they do not depend on each other, and tags them. */
export async function buildAll(build: BuildAll): Promise<readonly BuildResult[]> {
  const { options, layout, emit } = build;
  const { names, layerTypes } = options;
  const graph = await imageGraph(build.recipes, { names, layerTypes, layout: layout.directory });
  const definitions = new Map(build.recipes.flatMap(recipe => recipe.images).map(image => [image.name, image]));
  const provenance = await provenances(build);
  const records = new RecordCache(build.state.records);
  const keepTar = layerTypes.includes('tar');
  // An unchanged build converts and extracts nothing: what does is not even loaded.
  let loading: Promise<LayerConverter> | undefined;
  const converter = () =>
    (loading ??= import('../sources/convert-layers.ts').then(
      room => new room.LayerConverter({ layout, records, packing: options.packing, keepTar, emit }),
    ));
  const steps = new SingleFlight<CacheKey, StepOutcome>();
  const merges = new SingleFlight<CacheKey, MergeRecord>();
  const httpFiles = new HttpFiles({
    directory: build.state.http,
    records,
    files: build.files,
    download: build.download,
    onStale: text => say(emit, 'warning', text),
  });
  emit({ type: 'build-started', images: [...graph.keys()], at: Date.now() });

  const one = async (
    name: string,
    results: ReadonlyMap<string, ImageResult>,
    signal: AbortSignal,
  ): Promise<ImageResult> => {
    const definition = definitions.get(name)!;
    const built = (image: string) => results.get(image)!;
    const fetchHttp = (url: string, expected: Digest | undefined, inner?: AbortSignal) =>
      httpFiles.fetch(url, expected, inner);
    const extract = async (image: string, path: string, inner?: AbortSignal): Promise<AbsPath> => {
      const { extractFromImage } = await import('../sources/extract.ts');
      return extractFromImage(built(image), path, { layout, store: build.state.imports }, inner);
    };
    return buildImage({
      definition,
      options,
      provenance: provenance.get(name)!,
      layout,
      records,
      files: build.files,
      bases: { openStore: build.openStore, records, built, converter, files: build.files, fetchHttp, extract },
      imports: { store: build.state.imports, files: build.files, fetchHttp, extract, requireHash: options.requireHash },
      workshop: build.workshop,
      stepCaches: build.stepCaches,
      emit,
      steps,
      merges,
      signal,
    });
  };

  const outcomes = new Map<string, BuildResult>();
  await runGraph<ImageResult>(
    graph,
    async (name, results, signal) => {
      const startedAt = Date.now();
      emit({ type: 'image-started', image: name, at: startedAt });
      const end = (outcome: TaskOutcome, result?: ImageResult, tags: readonly string[] = []) => {
        const layers = result?.layers ?? [];
        const at = Date.now();
        emit({
          type: 'image-finished',
          image: name,
          outcome,
          tags,
          ...(result ? { digest: result.manifest.digest } : {}),
          layers: layers.length,
          sizeBytes: layers.reduce((sum, layer) => sum + layer.squashfs.size, 0),
          durationMs: at - startedAt,
          at,
        });
      };
      try {
        const result = await one(name, results, signal);
        const outcome = await publish(build, definitions.get(name)!, result, signal);
        if (!build.partOfIndex?.known.has(name)) await rememberBuilt(records, name, result);
        outcomes.set(name, outcome);
        end(
          result.cached ? 'cached' : 'done',
          result,
          outcome.tags.map(tag => tag.tag),
        );
        return result;
      } catch (error) {
        end(signal.aborted || isStkError(error, 'interrupted') ? 'canceled' : 'failed');
        throw error;
      }
    },
    { limit: options.jobs, signal: build.signal },
  );
  const results = [...graph.keys()].map(name => outcomes.get(name)!);
  // Images end in any order, the index is in that of building them in turn. An unchanged build writes nothing.
  if (!build.partOfIndex && results.some(result => !result.cached)) {
    const tags = topologicalOrder(graph).flatMap(name => outcomes.get(name)!.tags.map(({ tag }) => tag));
    await layout.orderTags(tags, build.signal);
  }
  return results;
}

/** Points the tags of an image to what was built; the last thing that happens to it. */
async function publish(
  build: BuildAll,
  definition: ImageDefinition,
  result: ImageResult,
  signal: AbortSignal,
): Promise<BuildResult> {
  const { layerTypes } = build.options;
  const tags =
    definition.buildOnly || build.partOfIndex
      ? []
      : layerTypes.map((type, index) => ({
          tag: tagFor(definition.name, type, layerTypes),
          type,
          manifest: result.manifests[index]!,
        }));
  for (const { tag, manifest } of tags) await build.layout.tag(manifest, tag, signal);
  return {
    name: definition.name,
    buildOnly: definition.buildOnly,
    cached: result.cached,
    platform: imagePlatform(definition, build.options),
    manifests: result.manifests,
    tags,
    digest: result.manifest.digest,
    layers: result.layers.map(layer => layer.squashfs),
    merged: result.merged,
    remarks: result.remarks,
    origin: result.origin,
  };
}

async function provenances(build: BuildAll): Promise<ReadonlyMap<string, Provenance>> {
  const found = new Map<string, Provenance>();
  for (const recipe of build.recipes) {
    const { annotationsNamespace, version } = build.options;
    const provenance = await provenanceOf(recipe, annotationsNamespace, version, build.signal);
    for (const image of recipe.images) found.set(image.name, provenance);
  }
  return found;
}
