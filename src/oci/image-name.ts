import { isDigest, type Digest } from '../core/digest.ts';
import type { Platform } from './descriptor.ts';
import { ImageNameError } from './image-name-error.ts';
import { parseRegistryReference, parseTag, type RegistryReference } from './reference.ts';
import type { StorePlace } from './store-place.ts';

/** What every name may say besides where the image lies. */
interface Details {
  /** An absolute path in the image, as written. */
  readonly path?: string;
  /** Which image of an index; no text says it, `--platform` does. */
  readonly platform?: Platform;
}

/** `docker://HOST/REPOSITORY[:TAG][@DIGEST]` */
export interface RegistryName extends RegistryReference, Details {}

/** `oci:DIRECTORY[:TAG][@DIGEST]` */
export interface LayoutName extends Details {
  readonly kind: 'oci';
  /** As written; not resolved against any directory. */
  readonly directory: string;
  /** Any text: a layout's tags may hold colons. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `docker-archive:FILE[:NAME]`, `oci-archive:FILE[:NAME]`, `FILE.tar`, `FILE.tar.gz`, … */
export interface ArchiveName extends Details {
  readonly kind: 'archive';
  /** As written; what kind of archive it is, the file itself tells. */
  readonly file: string;
  /** The name that the image was saved under, or the end of it. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** `TAG[@DIGEST]` or a digest alone: an image of the default layout. */
export interface TagName extends Details {
  readonly kind: 'tag';
  readonly tag?: string;
  readonly digest?: Digest;
}

export type ImageName = RegistryName | LayoutName | ArchiveName | TagName;
/** Names of images that can be written, signed and signed for. */
export type StoredName = RegistryName | LayoutName;

/** Every way to name an image, for hints. */
const IMAGE_NAME_FORMS =
  'write docker://HOST/REPOSITORY:TAG, oci:DIR:TAG, FILE.tar, or a tag of the layout';

const MAX_NAME_LENGTH = 8192;
const DIGEST_END = /@(sha256:[0-9a-f]{64})$/;
const ARCHIVE_FILE = /\.(?:tar(?:\.gz|\.zst)?|tgz)$/;

/**
 * Parses the name of an image in any of its forms, and what may follow each of them: `@sha256:…`, and `:/…` for a path in
 * the image. Directories and files end at the first colon; a colon in them is written `\:`, a backslash before a colon or
 * backslash `\\`. Throws `ImageNameError`, which is `invalid-input` and says where.
 */
export function parseImageName(text: string): ImageName {
  assertText(text);
  if (text.startsWith('docker://')) return parseRegistryName(text);
  if (text.startsWith('oci:')) return parseLayoutName(text);
  const archive = /^(?:docker|oci)-archive:/.exec(text)?.[0];
  if (archive !== undefined) return parseArchiveName(text, archive.length);
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(text)?.[0];
  if (scheme !== undefined) {
    throw new ImageNameError(text, 'has no known transport', { at: 0, length: scheme.length }, IMAGE_NAME_FORMS);
  }
  return parseBareName(text);
}

function parseRegistryName(text: string): RegistryName {
  const { head, path } = splitPath(text, 'docker://'.length);
  return { ...parseRegistryReference(head), ...path };
}

function parseLayoutName(text: string): LayoutName {
  const start = 'oci:'.length;
  const { value: directory, end } = readEscaped(text, start);
  const hint = 'write oci:DIR:TAG';
  if (directory === '') throw new ImageNameError(text, 'names no directory', { at: start, length: 0 }, hint);
  return { kind: 'oci', directory, ...parseInside(text, end, hint) };
}

function parseArchiveName(text: string, start: number): ArchiveName {
  const { value: file, end } = readEscaped(text, start);
  const hint = `write ${text.slice(0, start)}FILE:NAME`;
  if (file === '') throw new ImageNameError(text, 'names no file', { at: start, length: 0 }, hint);
  return { kind: 'archive', file, ...parseInside(text, end, hint) };
}

/** `FILE.tar` is a file, everything else a tag. */
function parseBareName(text: string): ArchiveName | TagName {
  const { value: file, end } = readEscaped(text, 0);
  const rest = text.slice(end);
  if (ARCHIVE_FILE.test(file) && (rest === '' || rest.startsWith(':/') || DIGEST_END.test(splitPath(rest, 0).head))) {
    return { kind: 'archive', file, ...parseInside(text, end, '') };
  }
  const { head, path } = splitPath(text, 0);
  if (head === '') {
    throw new ImageNameError(text, 'names no image', { at: 0, length: 0 }, 'write TAG, or TAG:/PATH for a path in it');
  }
  return { kind: 'tag', ...tagAndDigest(text, 0, head), ...path };
}

/** What follows a directory or a file: `[:TAG][@DIGEST][:/PATH]`. */
function parseInside(text: string, end: number, hint: string): Pick<LayoutName, 'tag' | 'digest' | 'path'> {
  if (end === text.length) return {};
  const { head, path } = splitPath(text, end);
  const part = head.slice(end);
  if (part === '') return { ...path };
  if (part.startsWith('@')) return { ...tagAndDigest(text, end, part), ...path };
  if (part === ':') {
    throw new ImageNameError(text, 'has an empty tag', { at: end, length: 1 }, `${hint}, or leave the colon out`);
  }
  return { ...tagAndDigest(text, end + 1, part.slice(1)), ...path };
}

/** `TAG`, `TAG@DIGEST`, `@DIGEST` or `DIGEST`. */
function tagAndDigest(text: string, at: number, part: string): Pick<LayoutName, 'tag' | 'digest'> {
  if (isDigest(part)) return { digest: part };
  const digest = DIGEST_END.exec(part)?.[1];
  const tag = digest === undefined ? part : part.slice(0, -digest.length - 1);
  const bad = /@sha\d+:[^@]*$/.exec(tag);
  if (bad) {
    const place = { at: at + bad.index + 1, length: bad[0].length - 1 };
    throw new ImageNameError(text, 'has a bad digest', place, 'a digest is @sha256:<64 lower-case hex digits>');
  }
  return { ...(tag === '' ? {} : { tag }), ...(digest === undefined ? {} : { digest: digest as Digest }) };
}

/** A path in the image begins with the first `:/` from there on. */
function splitPath(text: string, from: number): { readonly head: string; readonly path: Pick<Details, 'path'> } {
  const at = text.indexOf(':/', from);
  return at < 0 ? { head: text, path: {} } : { head: text.slice(0, at), path: { path: text.slice(at + 1) } };
}

/** Text up to a colon or a digest, backslashes taken out. */
function readEscaped(text: string, from: number): { readonly value: string; readonly end: number } {
  let value = '';
  for (let at = from; at < text.length; at++) {
    const letter = text[at]!;
    const next = text[at + 1];
    if (letter === ':' || (letter === '@' && isDigest(splitPath(text, at).head.slice(at + 1)))) {
      return { value, end: at };
    }
    const isEscape = letter === '\\' && (next === ':' || next === '\\');
    value += isEscape ? next : letter;
    if (isEscape) at++;
  }
  return { value, end: text.length };
}

function assertText(text: string): void {
  // eslint-disable-next-line no-control-regex
  const control = /[\u0000-\u001f\u007f]/.exec(text);
  if (control) throw new ImageNameError(text, 'has a control character', { at: control.index, length: 1 });
  if (text.length <= MAX_NAME_LENGTH) return;
  const place = { at: MAX_NAME_LENGTH, length: text.length - MAX_NAME_LENGTH };
  throw new ImageNameError(text, `is longer than ${MAX_NAME_LENGTH} characters`, place);
}

/** The one way to write a name; parses to the same value again, but for a platform, which no text says. */
export function formatImageName(name: ImageName): string {
  const { tag, digest, path } = name;
  const end = `${digest === undefined ? '' : `@${digest}`}${path === undefined ? '' : `:${path}`}`;
  switch (name.kind) {
    case 'docker':
      return `docker://${name.host}/${name.repository}${tag === undefined ? '' : `:${tag}`}${end}`;
    case 'oci':
      return `oci:${escaped(name.directory)}${tag === undefined ? '' : `:${tag}`}${end}`;
    case 'archive':
      return formatArchive(name, end);
    case 'tag':
      return tag === undefined ? end.slice(1) : `${tag}${end}`;
  }
}

function formatArchive({ file, tag }: ArchiveName, end: string): string {
  if (tag === undefined && ARCHIVE_FILE.test(file)) return `${escaped(file)}${end}`;
  return `docker-archive:${escaped(file)}${tag === undefined ? '' : `:${tag}`}${end}`;
}

function escaped(path: string): string {
  return path.replaceAll('\\', '\\\\').replaceAll(':', '\\:');
}

/** The name of a tag of a store; `undefined` for stores whose images nobody can name so. Throws `ImageNameError` for no tag. */
export function nameIn(place: StorePlace, tag: string): Exclude<ImageName, TagName> | undefined {
  switch (place.kind) {
    case 'docker':
      return { ...place, tag: parseTag(tag) };
    case 'oci':
    case 'archive':
      return { ...place, tag };
    case 'memory':
      return undefined;
  }
}

/** What to ask a store for: the digest where there is one, because a tag may move; `undefined` where neither is named. */
export function referenceOf(name: ImageName): string | undefined {
  return name.digest ?? name.tag ?? (name.kind === 'docker' ? 'latest' : undefined);
}
