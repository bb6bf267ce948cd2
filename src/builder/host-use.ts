import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { realpath } from '../host/files.ts';
import type { ImageDefinition, ImageReference } from '../recipe/model.ts';
import { tagFor, type LayerType } from './layer-types.ts';
import { Remembered } from '../core/remembered.ts';

/** Files of the host that building an image reads and may write; real paths. */
export interface HostUse {
  /** What it takes as it is: imports, overlays, bases. */
  readonly reads: readonly AbsPath[];
  /** What its scripts may write to, and whether its content counts for the image. */
  readonly binds: readonly { readonly path: AbsPath; readonly counts: boolean }[];
  /** Images of the layout that is written, which it builds on. */
  readonly takesTags: ReadonlySet<string>;
  readonly makesTags: readonly string[];
}

export interface WrittenLayout {
  /** Its directory. */
  readonly layout: AbsPath;
  readonly layerTypes: readonly LayerType[];
}

/** What of the host an image uses; looks up links, and reads nothing else. */
export async function hostUse(image: ImageDefinition, written: WrittenLayout, paths: RealPaths): Promise<HostUse> {
  const files: AbsPath[] = image.overlayDirs.map(({ source }) => source);
  for (const { source } of image.imports) if (source.type === 'path') files.push(source.path);
  if (image.from.type === 'tar' && image.from.source.type === 'path') files.push(image.from.source.path);
  const layouts = layoutsOf(image);
  const own = await paths.real(written.layout);
  const takesTags = new Set<string>();
  for (const { directory, tag } of layouts) if ((await paths.real(directory)) === own) takesTags.add(tag);
  const hasScript = image.run !== undefined || image.generateLabels !== undefined;
  const binds: { path: AbsPath; counts: boolean }[] = [];
  for (const { source, cache } of hasScript ? image.binds : []) {
    binds.push({ path: await paths.real(source), counts: cache === 'hash' });
  }
  const reads: AbsPath[] = [];
  for (const file of [...files, ...layouts.map(({ directory }) => directory)]) reads.push(await paths.real(file));
  const { layerTypes } = written;
  const makesTags = image.buildOnly ? [] : layerTypes.map(type => tagFor(image.name, type, layerTypes));
  return { reads, binds, takesTags, makesTags };
}

function layoutsOf(image: ImageDefinition): readonly Extract<ImageReference, { type: 'oci' }>[] {
  const { from } = image;
  const applied = image.apply.flatMap(({ reference }) => (reference.type === 'oci' ? [reference] : []));
  return from.type === 'oci' ? [from, ...applied] : applied;
}

/** Whether an image takes files, or an image of the layout, that one before it may have made. */
export function isFedBy(later: HostUse, earlier: HostUse): boolean {
  const takes = earlier.makesTags.some(tag => later.takesTags.has(tag));
  return takes || earlier.binds.some(bind => later.reads.some(file => overlap(bind.path, file)));
}

/** Whether it matters which of two images comes first: one may write what the other uses. */
export function isOrdered(later: HostUse, earlier: HostUse): boolean {
  if (isFedBy(later, earlier) || later.binds.some(bind => earlier.reads.some(file => overlap(bind.path, file)))) {
    return true;
  }
  const pairs = later.binds.flatMap(bind => earlier.binds.map(other => [bind, other] as const));
  return pairs.some(([bind, other]) => (bind.counts || other.counts) && overlap(bind.path, other.path));
}

/** Whether one of two paths is, or lies in, the other. */
function overlap(one: AbsPath, other: AbsPath): boolean {
  return isWithin(one, other) || isWithin(other, one);
}

function isWithin(inner: AbsPath, outer: AbsPath): boolean {
  return inner === outer || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);
}

/** Paths without links in them. What does not exist yet is where its nearest directory that does exist leads. */
export class RealPaths {
  readonly #known = new Remembered<AbsPath, AbsPath>();

  real(file: AbsPath): Promise<AbsPath> {
    return this.#known.get(file, () => this.#find(file));
  }

  async #find(file: AbsPath): Promise<AbsPath> {
    const parent = path.dirname(file) as AbsPath;
    const found = await realpath(file).catch(() => undefined);
    if (found !== undefined || parent === file) return (found ?? file) as AbsPath;
    return path.join(await this.real(parent), path.basename(file)) as AbsPath;
  }
}
