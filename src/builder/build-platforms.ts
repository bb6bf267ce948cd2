import { say } from '../core/events.ts';
import { jsonDocument } from '../oci/compose.ts';
import type { Descriptor, Index, Platform } from '../oci/descriptor.ts';
import { MediaType } from '../oci/media-types.ts';
import { formatPlatform, normalizePlatform } from '../oci/platform.ts';
import type { ImageDefinition, Recipe } from '../recipe/model.ts';
import { buildAll, type BuildAll, type BuildResult } from './build-all.ts';
import { tagFor, type LayerType } from './layer-types.ts';

/** A platform, and the images that are wanted for it. */
export interface WantedPlatform {
  readonly platform: Platform;
  readonly names: readonly string[];
}

/**
 * Which images to build for which platforms: for those that the caller names, else for those of an image's own `platforms`,
 * else for the host's, which comes first. An image whose recipe says its `arch` has that one, whatever is named.
 */
export function wantedPlatforms(
  images: readonly ImageDefinition[],
  names: readonly string[],
  { named, host }: { readonly named: readonly Platform[]; readonly host: Platform },
): readonly WantedPlatform[] {
  const found = new Map<string, { platform: Platform; names: string[] }>();
  for (const image of images) {
    if (names.length > 0 && !names.includes(image.name)) continue;
    const several = named.length > 0 ? named : (image.platforms ?? [host]);
    for (const platform of image.arch === undefined ? several : several.slice(0, 1)) {
      const key = formatPlatform(normalizePlatform(platform));
      const wanted = found.get(key) ?? { platform, names: [] };
      wanted.names.push(image.name);
      found.set(key, wanted);
    }
  }
  // Names that no image has are refused by whoever builds them.
  const unknown = names.filter(name => !images.some(image => image.name === name));
  const [first = { platform: host, names: [] }, ...others] = found.values();
  const wanted = [{ ...first, names: [...first.names, ...unknown] }, ...others];
  // What a name alone stands for is what this host can run.
  return wanted.toSorted((a, b) => Number(isSame(b.platform, host)) - Number(isSame(a.platform, host)));
}

function isSame(a: Platform, b: Platform): boolean {
  return formatPlatform(normalizePlatform(a)) === formatPlatform(normalizePlatform(b));
}

export interface BuildPlatforms extends Omit<BuildAll, 'recipes'> {
  readonly platforms: readonly WantedPlatform[];
  /** The recipes with the values that they have for a platform. */
  readonly recipesFor: (platform: Platform) => Promise<readonly Recipe[]>;
}

/**
 * Builds images for one platform after the other. An image that was built for several gets an index of all of them, and its
 * tag moves once, when all are there; images that others need are built for the platforms of those, and indexed too.
 */
export async function buildPlatforms(build: BuildPlatforms): Promise<readonly BuildResult[]> {
  const { platforms, recipesFor, options } = build;
  const [first] = platforms;
  if (first !== undefined && platforms.length === 1) {
    const one = { ...options, platform: first.platform };
    return buildAll({ ...build, recipes: await recipesFor(first.platform), options: one });
  }
  const parts = new Map<string, BuildResult[]>();
  for (const { platform, names } of platforms) {
    say(build.emit, 'info', `building for ${formatPlatform(platform)}`);
    const recipes = await recipesFor(platform);
    const partOfIndex = { known: new Set(parts.keys()) };
    const results = await buildAll({ ...build, recipes, options: { ...options, platform, names }, partOfIndex });
    for (const result of results) parts.set(result.name, [...(parts.get(result.name) ?? []), result]);
  }
  const results: BuildResult[] = [];
  for (const several of parts.values()) results.push(await publishIndex(build, several));
  if (results.some(result => !result.cached)) {
    const tags = results.flatMap(result => result.tags.map(({ tag }) => tag));
    await build.layout.orderTags(tags, build.signal);
  }
  return results;
}

/** Tags an index of what an image is on each platform, or the image itself where it is the same on all of them. */
async function publishIndex(build: BuildPlatforms, results: readonly BuildResult[]): Promise<BuildResult> {
  const { layout, options, signal } = build;
  const first = results[0]!;
  const tags: { tag: string; type: LayerType; manifest: Descriptor }[] = [];
  for (const [at, type] of first.buildOnly ? [] : options.layerTypes.entries()) {
    const document = indexOf(
      results.map(({ manifests, platform }) => {
        const { mediaType, digest, size } = manifests[at]!;
        return { mediaType, digest, size, platform };
      }),
    );
    const manifest = document?.descriptor ?? first.manifests[at]!;
    const tag = tagFor(first.name, type, options.layerTypes);
    if (document) await layout.putManifest(document, tag, { signal });
    else await layout.tag(manifest, tag, signal);
    tags.push({ tag, type, manifest });
  }
  return {
    ...first,
    cached: results.every(result => result.cached),
    tags,
    digest: tags[0]?.manifest.digest ?? first.digest,
    merged: results.flatMap(result => result.merged),
    remarks: results.flatMap(result => result.remarks),
    platforms: results.map(({ platform, digest, layers }) => ({ platform: formatPlatform(platform), digest, layers })),
  };
}

function indexOf(entries: readonly (Descriptor & { readonly platform: Platform })[]) {
  const manifests = entries.filter((entry, at) => entries.findIndex(other => other.digest === entry.digest) === at);
  if (manifests.length < 2) return undefined;
  const index: Index = { schemaVersion: 2, mediaType: MediaType.index, manifests };
  return jsonDocument(index, MediaType.index);
}
