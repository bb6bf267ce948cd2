/** Suffixes in their order; those before the empty one come before the release. */
const SUFFIXES = ['alpha', 'beta', 'pre', 'rc', '', 'cvs', 'svn', 'git', 'hg', 'p'] as const;
const RELEASE = SUFFIXES.indexOf('');

type Part =
  | { readonly kind: 'number' | 'suffix-number' | 'revision'; readonly digits: string; readonly isFraction: boolean }
  | { readonly kind: 'letter' | 'hash'; readonly text: string }
  | { readonly kind: 'suffix'; readonly rank: number }
  | { readonly kind: 'end' };

/** Where versions differ in kind, the one whose part stands first here is the newer. */
const KINDS: readonly Part['kind'][] = ['number', 'letter', 'suffix', 'suffix-number', 'hash', 'revision', 'end'];

const PARTS =
  /^(?<number>(?:^|\.)\d+)|^(?<letter>[a-z])(?![a-z])|^_(?<suffix>alpha|beta|pre|rc|cvs|svn|git|hg|p)(?![a-z])(?<count>\d*)|^~(?<hash>[0-9a-f]+)|^-r(?<revision>\d+)/;

/**
 * Compares versions as apk does (`1.2.3a_rc1-r4`): negative where `a` is older, 0 where they are equal. What is no version
 * comes before everything, ordered by its bytes.
 */
export function compareApkVersions(a: string, b: string): number {
  const [left, right] = [parseVersion(a), parseVersion(b)];
  if (left === undefined || right === undefined) {
    if (left !== right) return left === undefined ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  for (let i = 0; ; i++) {
    const [x, y] = [left[i]!, right[i]!];
    if (x.kind !== y.kind) {
      if (x.kind === 'suffix' && x.rank < RELEASE) return -1;
      if (y.kind === 'suffix' && y.rank < RELEASE) return 1;
      return KINDS.indexOf(y.kind) - KINDS.indexOf(x.kind);
    }
    if (x.kind === 'end') return 0;
    const difference = compareParts(x, y);
    if (difference !== 0) return difference;
  }
}

function parseVersion(text: string): readonly Part[] | undefined {
  if (text.length > 256) return undefined;
  const parts: Part[] = [];
  for (let rest = text; rest !== '';) {
    const match = PARTS.exec(rest);
    const { number, letter, suffix, count, hash, revision } = match?.groups ?? {};
    const order = parts.length === 0 ? -1 : KINDS.indexOf(parts.at(-1)!.kind);
    if (match === null || (number !== undefined && (parts.length === 0) === number.startsWith('.'))) return undefined;
    if (number !== undefined) {
      const digits = number.replace('.', '');
      // As behind a decimal point, where 01 comes before 1.
      parts.push({ kind: 'number', digits, isFraction: parts.length > 0 && digits.startsWith('0') });
      if (order > 0) return undefined;
    } else if (letter !== undefined) {
      if (order !== 0) return undefined;
      parts.push({ kind: 'letter', text: letter });
    } else if (suffix !== undefined) {
      if (order < 0 || order > KINDS.indexOf('suffix-number')) return undefined;
      parts.push({ kind: 'suffix', rank: SUFFIXES.indexOf(suffix as 'p') });
      if (count) parts.push({ kind: 'suffix-number', digits: count, isFraction: false });
    } else {
      const kind = hash === undefined ? 'revision' : 'hash';
      if (order < 0 || order >= KINDS.indexOf(kind)) return undefined;
      parts.push(
        hash === undefined ? { kind: 'revision', digits: revision!, isFraction: false } : { kind: 'hash', text: hash },
      );
    }
    rest = rest.slice(match[0].length);
  }
  return parts.length === 0 ? undefined : [...parts, { kind: 'end' }];
}

function compareParts(x: Part, y: Part): number {
  if ('rank' in x && 'rank' in y) return x.rank - y.rank;
  if ('text' in x && 'text' in y) return x.text < y.text ? -1 : x.text > y.text ? 1 : 0;
  if (!('digits' in x) || !('digits' in y)) return 0;
  if (x.isFraction || y.isFraction) return x.digits < y.digits ? -1 : x.digits > y.digits ? 1 : 0;
  const [left, right] = [x.digits.replace(/^0+(?=.)/, ''), y.digits.replace(/^0+(?=.)/, '')];
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
}
