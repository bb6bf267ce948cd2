import { absPath, imagePath, type AbsPath } from '../core/paths.ts';
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
  if (text.startsWith('oci:')) return parseOci(text.slice('oci:'.length), range, context);
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
  if (/^docker:\/\/[^/\s\u0000-\u001f\u007f][^\s\u0000-\u001f\u007f]*$/.test(url))
    return { type: 'docker', url, insecure };
  const near = /^[a-z0-9]+:/i.test(url) && url.includes('://') ? undefined : `did you mean docker://${url}?`;
  context.problems.error('invalid-reference', `not a docker reference: ${url}`, range, near);
  return undefined;
}

/** `dir:tag`; the tag begins after the first colon and may hold more of them. */
export function parseOci(url: string, range: TextRange, context: ParseContext): ImageReference | undefined {
  const colon = url.indexOf(':');
  const tag = url.slice(colon + 1);
  if (colon <= 0 || tag === '') {
    context.problems.error('invalid-reference', `bad OCI tag: ${url}`, range, 'write oci:dir:tag');
    return undefined;
  }
  return { type: 'oci', url, directory: absPath(url.slice(0, colon), context.workingDirectory), tag };
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
