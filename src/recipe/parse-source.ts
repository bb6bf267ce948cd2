import { absPath, imagePath, type AbsPath } from '../core/paths.ts';
import { parseImageName, type ImageName } from '../oci/image-name.ts';
import { ImageNameError, showReference, type TextPlace } from '../oci/image-name-error.ts';
import type { FileSource, ImageReference } from './model.ts';
import type { Problems } from './problems.ts';
import type { TextRange } from './yaml-tree.ts';

/** What the readers of directives need besides the tree. */
export interface ParseContext {
  readonly problems: Problems;
  /** What relative paths resolve against. */
  readonly directory: AbsPath;
  /** What the paths of bases and applied layouts resolve against. */
  readonly workingDirectory: AbsPath;
}

/** `docker://…`, `oci:dir:tag` or the name of an image. Reports what it is not and returns `undefined`. */
export function parseReference(text: string, range: TextRange, context: ParseContext): ImageReference | undefined {
  if (text.startsWith('docker://')) return parseDocker(text, false, range, context);
  if (text.startsWith('oci:')) return parseOci(text.slice('oci:'.length), range, context, text);
  if (text.includes('://')) {
    const message = `unknown image source type: ${text}`;
    context.problems.error('invalid-reference', message, range, "write docker://…, oci:dir:tag or an image's name");
    return undefined;
  }
  return { type: 'built', image: text };
}

export function parseDocker(
  url: string,
  insecure: boolean,
  range: TextRange,
  context: ParseContext,
): ImageReference | undefined {
  if (url.startsWith('docker://')) {
    const name = readName(url, { text: url, range }, context);
    return name && { type: 'docker', url, insecure };
  }
  const near = /^[a-z0-9]+:/i.test(url) && url.includes('://') ? undefined : `did you mean docker://${url}?`;
  context.problems.error('invalid-reference', `not a docker reference: ${url}`, range, near);
  return undefined;
}

/**
 * `dir:tag`, as behind `oci:` (`parseImageName`).
 * @param text as it is written at the range, with `oci:` or without
 */
export function parseOci(url: string, range: TextRange, context: ParseContext, text = url): ImageReference | undefined {
  const name = readName(`oci:${url}`, { text, range }, context);
  if (name?.kind !== 'oci') return undefined;
  const { directory, tag, digest } = name;
  const reference = digest ?? tag;
  if (reference === undefined) {
    context.problems.error('invalid-reference', `bad OCI tag: ${url}`, range, 'write oci:dir:tag');
    return undefined;
  }
  return { type: 'oci', url, directory: absPath(directory, context.workingDirectory), tag: reference };
}

/** The name of a whole image; what is wrong with it is reported at its place. */
function readName(
  text: string,
  written: { readonly text: string; readonly range: TextRange },
  { problems }: ParseContext,
): ImageName | undefined {
  try {
    const name = parseImageName(text);
    if (name.path === undefined) return name;
    problems.error('invalid-reference', `an image is meant, not a path in it: ${written.text}`, written.range);
  } catch (error) {
    if (!(error instanceof ImageNameError)) throw error;
    const { problem, place, hint } = error;
    const start = place.at - (text.length - written.text.length);
    const range = rangeOfPart(written, { at: Math.max(0, start), length: place.length });
    problems.error('invalid-reference', `${showReference(written.text)} ${problem}`, range, hint);
  }
  return undefined;
}

/** Of a part of a scalar, where that stands as it is read: plain, or in quotes without escapes. Else the whole of it. */
function rangeOfPart(
  { text, range }: { readonly text: string; readonly range: TextRange },
  { at, length }: TextPlace,
): TextRange {
  const quotes = range.end - range.start - text.length;
  if (length === 0 || (quotes !== 0 && quotes !== 2)) return range;
  const start = range.start + quotes / 2 + at;
  return { start, end: start + length };
}

/** A path, an http(s) URL or `stacker://image/path`. Reports what it is not and returns `undefined`. */
export function parseFileSource(
  text: string,
  base: AbsPath,
  range: TextRange,
  context: ParseContext,
): FileSource | undefined {
  const { problems } = context;
  const scheme = /^([^:/]*):\/\//.exec(text)?.[1];
  if (scheme === undefined) return { type: 'path', path: absPath(text, base) };
  if (scheme === 'http' || scheme === 'https') {
    if (URL.canParse(text)) return { type: 'http', url: text };
    problems.error('invalid-reference', `not a URL: ${text}`, range);
    return undefined;
  }
  if (scheme !== 'stacker') {
    const suggestion = 'write a path, an http(s) URL, or stacker://image/path';
    problems.error('invalid-reference', `unsupported url scheme ${scheme}: ${text}`, range, suggestion);
    return undefined;
  }
  const rest = text.slice('stacker://'.length);
  const slash = rest.indexOf('/');
  const image = slash < 0 ? rest : rest.slice(0, slash);
  if (image === '') {
    problems.error('invalid-reference', `no image is named: ${text}`, range, 'write stacker://image/path');
    return undefined;
  }
  return { type: 'image', image, path: `/${imagePath(slash < 0 ? '' : rest.slice(slash))}` };
}
