/** Compares `[EPOCH:]VERSION[-RELEASE]` as rpm does: negative where `a` is older, 0 where they are equal. */
export function compareRpmVersions(a: string, b: string): number {
  const [left, right] = [splitVersion(a), splitVersion(b)];
  return (
    left.epoch - right.epoch ||
    compareRpmParts(left.version, right.version) ||
    (left.release === undefined || right.release === undefined ? 0 : compareRpmParts(left.release, right.release))
  );
}

function splitVersion(text: string): { epoch: number; version: string; release: string | undefined } {
  const [, epoch, rest = ''] = /^(?:(\d{1,10}):)?([^]*)$/.exec(text) ?? [];
  const dash = rest.lastIndexOf('-');
  return {
    epoch: Number(epoch ?? 0),
    version: dash < 0 ? rest : rest.slice(0, dash),
    release: dash < 0 ? undefined : rest.slice(dash + 1),
  };
}

/**
 * `rpmvercmp`: runs of digits against runs of letters, separators count for nothing. A tilde sorts before everything, the end
 * included; a caret after the end and before anything else.
 */
export function compareRpmParts(a: string, b: string): number {
  const [left, right] = [segments(a), segments(b)];
  for (let i = 0; ; i++) {
    const [x, y] = [left[i], right[i]];
    if (x === y) {
      if (x === undefined) return 0;
      continue;
    }
    if (x === '~') return -1;
    if (y === '~') return 1;
    if (x === '^') return y === undefined ? 1 : -1;
    if (y === '^') return x === undefined ? -1 : 1;
    if (x === undefined) return -1;
    if (y === undefined) return 1;
    const [xIsNumber, yIsNumber] = [/^\d/.test(x), /^\d/.test(y)];
    if (xIsNumber !== yIsNumber) return xIsNumber ? 1 : -1;
    if (xIsNumber && x.length !== y.length) return x.length - y.length;
    return x < y ? -1 : 1;
  }
}

function segments(text: string): string[] {
  return (text.match(/[0-9]+|[A-Za-z]+|~|\^/g) ?? []).map(segment => segment.replace(/^0+(?=\d)/, ''));
}
