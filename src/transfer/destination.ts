import { StkError } from '../core/errors.ts';
import { parseImageName, type LayoutName, type RegistryName, type TagName } from '../oci/image-name.ts';
import { showReference } from '../oci/image-name-error.ts';
import { isHostLike, isTag, parseRegistryReference, parseTag } from '../oci/reference.ts';

/** What one image can be written to. */
export type TargetName = RegistryName | LayoutName | TagName;

/** Where several images go: a layout, or a registry below a path, each into a repository of its own name. */
export type Destination =
  | { readonly kind: 'oci'; readonly directory: string }
  | {
      readonly kind: 'docker';
      /** `host[:port][/path]` */
      readonly prefix: string;
    };

/** `org.opencontainers.image.ref.name` (image-spec, annotations.md). */
const LAYOUT_TAG = /^[A-Za-z0-9]+(?:(?:[-._:@/+]|--)[A-Za-z0-9]+)*$/;
const MAX_TAG_LENGTH = 255;

/** Parses where several images go. Throws `usage`: a tag there could belong to one of them only. */
export function parseDestination(text: string): Destination {
  if (text.startsWith('docker://')) return { kind: 'docker', prefix: parsePrefix(text) };
  const name = parseImageName(text);
  if (name.kind !== 'oci') throw wrong(text, 'is no place for several images', 'write docker://HOST[/PATH] or oci:DIR');
  const { directory, tag, digest, path } = name;
  if (tag === undefined && digest === undefined && path === undefined) return { kind: 'oci', directory };
  throw wrong(text, 'names an image', 'name the layout alone: oci:DIR; tags come from --tag');
}

function parsePrefix(text: string): string {
  const prefix = text.slice('docker://'.length).replace(/\/+$/, '');
  const tail = prefix.slice(prefix.lastIndexOf('/') + 1);
  if (prefix === '' || tail.includes('@') || (prefix.includes('/') && tail.includes(':'))) {
    throw wrong(text, prefix === '' ? 'names no registry' : 'names a tag', 'write docker://HOST[/PATH], and --tag TAG');
  }
  return prefix;
}

/** `docker://HOST/PATH/NAME:TAG`, where no tag is `latest`; in a layout `NAME`, or `NAME_TAG`. */
export function targetOf(destination: Destination, name: string, tag: string | undefined): RegistryName | LayoutName {
  if (destination.kind === 'docker') {
    return parseRegistryReference(`docker://${destination.prefix}/${name}:${tag ?? 'latest'}`);
  }
  const { directory } = destination;
  return { kind: 'oci', directory, tag: tag === undefined ? name : `${name}_${tag}` };
}

/**
 * Where one image goes: its own name, completed with a tag. Throws `usage` for what cannot be chosen or written to: a digest,
 * a path, an archive, a tag that others could not read.
 * @param fallbackTag for a layout without a tag; left out where there must be one
 */
export function parseTarget(text: string, fallbackTag?: string): TargetName {
  if (text === '') throw wrong(text, 'names no tag', 'write TAG or oci:DIR:TAG');
  const name = parseImageName(text);
  if (name.kind === 'archive') throw wrong(text, 'is an archive, which is only read', 'write to oci:DIR:TAG');
  if (name.path !== undefined) throw wrong(text, 'names a path in an image', 'name the image alone');
  if (name.digest !== undefined) {
    throw wrong(text, 'names a digest', 'name a tag: the digest follows from what is written');
  }
  if (name.kind === 'docker') return name.tag === undefined ? { ...name, tag: parseTag('latest') } : name;
  const { tag } = name;
  if (name.kind === 'tag') assertNoHost(text);
  if (tag !== undefined) return { ...name, tag: layoutTag(tag) };
  if (fallbackTag === undefined) throw wrong(text, 'names no tag', 'write TAG or oci:DIR:TAG');
  return { ...name, tag: fallbackTag };
}

/** The same place under another tag. Throws `usage` or `invalid-input` for what is no tag there. */
export function retagged(target: TargetName, tag: string): TargetName {
  return target.kind === 'docker' ? { ...target, tag: parseTag(tag) } : { ...target, tag: layoutTag(tag) };
}

/** A tag that is to be made in a layout: as the specification wants it, or as registries do. Throws `usage`. */
function layoutTag(tag: string): string {
  if ((LAYOUT_TAG.test(tag) || isTag(tag)) && tag.length <= MAX_TAG_LENGTH) return tag;
  throw new StkError('usage', `${JSON.stringify(tag.slice(0, 200))} is no tag`, {
    hint: 'letters and digits, with single dots, dashes, underscores, colons or slashes between them',
  });
}

/** A repository without `docker://` would become a tag of the layout that looks like it. */
function assertNoHost(text: string): void {
  const first = /^([^/]+)\//.exec(text)?.[1];
  if (first === undefined || !isHostLike(first)) return;
  throw wrong(text, 'has no known transport', `write docker://${showReference(text)}, or oci:DIR:TAG for a layout`);
}

function wrong(text: string, problem: string, hint: string): StkError {
  return new StkError('usage', `destination ${showReference(text)} ${problem}`, { hint });
}
