import type { Digest } from '../core/digest.ts';

/** What a reference in a file is replaced by. */
export interface WrittenReference {
  /** As other tools write references: `HOST/REPOSITORY:TAG@DIGEST`. */
  readonly reference: string;
  /** What the tag stands for. */
  readonly digest: Digest;
  readonly tag: string;
}

export interface WriteBackResult {
  readonly text: string;
  /** Lines that were changed, from 1. */
  readonly changed: readonly number[];
  /** Images that comments name and that are not known, each once. */
  readonly unknown: readonly string[];
}

/** A value, and the comment behind it: `# stk: IMAGE`, with `digest` or `tag` where the value is that alone. */
const MARKED = /^(.*?[\s:[,-])(["']?)([^\s"'#,\]}]+)\2([\s,\]}]*\s#\s*stk:\s*(\S+)(?:\s+(reference|digest|tag))?\s*)$/;

/**
 * Replaces the values that comments `# stk: IMAGE` stand behind: by `HOST/REPOSITORY:TAG@DIGEST`, or with `digest` or `tag` after
 * the image by that alone. Everything else stays as it is, byte for byte.
 * @param find what an image's name, `docker://HOST/REPOSITORY:TAG`, stands for
 */
export function writeBack(text: string, find: (image: string) => WrittenReference | undefined): WriteBackResult {
  const changed: number[] = [];
  const unknown = new Set<string>();
  const lines = text.split('\n').map((line, index) => {
    const match = MARKED.exec(line.replace(/\r$/, ''));
    if (!match) return line;
    const [, before = '', quote = '', value = '', after = '', image = '', what = 'reference'] = match;
    const found = find(image);
    if (!found) {
      unknown.add(image);
      return line;
    }
    const next = what === 'digest' ? found.digest : what === 'tag' ? found.tag : found.reference;
    if (next === value) return line;
    changed.push(index + 1);
    return `${before}${quote}${next}${quote}${after}${line.endsWith('\r') ? '\r' : ''}`;
  });
  return { text: lines.join('\n'), changed, unknown: [...unknown] };
}
