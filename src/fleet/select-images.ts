import { compileGlob } from '../apply/glob.ts';
import type { AsyncScope } from '../core/async-scope.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { isAttachmentTag } from '../oci/attachment-tag.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { parseImageName } from '../oci/image-name.ts';
import { parseRegistryHost, parseRegistryReference } from '../oci/reference.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import type { FleetImages } from './fleet-model.ts';
import { registryPattern } from './registry-pattern.ts';
import { compareTags } from './tag-order.ts';

export interface SelectPorts {
  readonly stores: ImageStores;
  readonly tlsVerify: boolean;
  /** Owns what is opened. */
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** A tag that belongs to a fleet. */
export interface SelectedTag {
  readonly store: BlobStore;
  readonly tag: string;
  /** `docker://HOST/REPOSITORY:TAG`, or `oci:DIR:TAG`. */
  readonly name: string;
  /** The item of the fleet that chose it. */
  readonly by: FleetImages;
}

/** A place that could not be listed. */
export interface FailedPlace {
  readonly name: string;
  readonly error: StkError;
}

export interface SelectedTags {
  /** In the order of the fleet file, repositories and tags in order of their names. */
  readonly tags: readonly SelectedTag[];
  readonly failed: readonly FailedPlace[];
}

const PARALLEL = 8;
const MOST_TAGS = 100_000;

/** The tags of a fleet; each once. A repository that cannot be listed hides no other. */
export async function selectTags(images: readonly FleetImages[], ports: SelectPorts): Promise<SelectedTags> {
  const failed: FailedPlace[] = [];
  const found = new Map<string, SelectedTag>();
  for (const by of images) {
    const stores = await attempt(by.from, failed, ports.signal, () => openPlaces(by.from, ports));
    const lists = await mapLimited(
      stores ?? [],
      PARALLEL,
      async (store, signal) =>
        (await attempt(store.name, failed, signal, () => tagsOf(store, by, signal)))?.map(tag => ({ store, tag })) ??
        [],
      ports.signal,
    );
    for (const { store, tag } of lists.flat()) {
      const name = `${store.name}:${tag}`;
      if (!found.has(name)) found.set(name, { store, tag, name, by });
      if (found.size > MOST_TAGS) throw new StkError('invalid-input', `a fleet of more than ${MOST_TAGS} images`);
    }
  }
  return { tags: [...found.values()], failed };
}

async function attempt<T>(
  name: string,
  failed: FailedPlace[],
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isStkError(error) || signal.aborted) throw error;
    failed.push({ name, error });
    return undefined;
  }
}

async function openPlaces(from: string, ports: SelectPorts): Promise<readonly BlobStore[]> {
  const { stores, tlsVerify, scope, signal } = ports;
  const pattern = registryPattern(from);
  if (!pattern) return [(await stores.openForChange(parseImageName(from), { tlsVerify }, scope)).store];
  const open = async (repository: string) => {
    const reference = parseRegistryReference(`${pattern.host}/${repository}`);
    return (await stores.openForChange(reference, { tlsVerify }, scope)).store;
  };
  if (!pattern.isGlob) return [await open(pattern.glob)];
  const names = await stores.repositories(parseRegistryHost(pattern.host), pattern.below, { tlsVerify });
  const isMatch = matcher([pattern.glob]);
  return mapLimited(names.filter(isMatch).toSorted(), PARALLEL, open, signal);
}

async function tagsOf(store: BlobStore, by: FleetImages, signal: AbortSignal): Promise<readonly string[]> {
  const isWanted = matcher(by.tags);
  const isExcluded = tagMatcher(by.exclude);
  const tags = (await store.tags({ signal })).filter(
    tag => !isAttachmentTag(tag) && isWanted(tag) && !isExcluded({ store, tag }),
  );
  const newestFirst = tags.toSorted((a, b) => compareTags(b, a));
  return newestFirst.slice(0, by.newest ?? newestFirst.length).toSorted();
}

/** Whether a tag matches any of some globs, of `TAG` or of `REPOSITORY:TAG`. */
export function tagMatcher(globs: readonly string[]): (selected: Pick<SelectedTag, 'store' | 'tag'>) => boolean {
  const isMatch = matcher(globs);
  return ({ store: { place }, tag }) =>
    isMatch(tag) || (place.kind === 'docker' && isMatch(`${place.repository}:${tag}`));
}

/** Whether a name matches any of some globs. */
function matcher(globs: readonly string[]): (name: string) => boolean {
  const compiled = globs.map(glob => {
    const match = compileGlob(`/${glob}`);
    if (match) return match;
    throw new StkError('invalid-input', `the braces of ${glob} stand for too many names`);
  });
  return name => compiled.some(match => match(`/${name}`));
}
