/** Words that say that a version is not there yet: it comes before the one without them. */
const BEFORE = /^[.+~-]?(?:alpha|beta|pre|preview|rc|dev|snapshot|nightly)/i;

/** Compares tags as versions: numbers as numbers, the rest as text, a pre-release before its release. */
export function compareTags(a: string, b: string): number {
  const [left, right] = [pieces(a), pieces(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const [one, other] = [left[index], right[index]];
    if (one === undefined) return BEFORE.test(other!) ? 1 : -1;
    if (other === undefined) return BEFORE.test(one) ? -1 : 1;
    const [first, second] = [numberOf(one), numberOf(other)];
    const order =
      first !== undefined && second !== undefined
        ? Number(first > second) - Number(first < second)
        : compareText(one, other);
    if (order !== 0) return order;
  }
  return compareText(a, b);
}

/**
 * Tags of the same form as one, such as `1.2-slim` and `1.10-slim`, that are newer versions, the newest first. A tag without a
 * number has none.
 */
export function newerTags(tag: string, others: readonly string[]): readonly string[] {
  if (!/\d/.test(tag)) return [];
  const form = formOf(tag);
  return others
    .filter(other => formOf(other) === form && compareTags(other, tag) > 0)
    .toSorted((a, b) => compareTags(b, a));
}

/** Numbers aside, what a tag looks like. */
function formOf(tag: string): string {
  return tag.replaceAll(/\d+/g, '0');
}

function pieces(tag: string): readonly string[] {
  return tag.match(/\d+|\D+/g) ?? [];
}

function numberOf(piece: string): bigint | undefined {
  return /^\d+$/.test(piece) ? BigInt(piece) : undefined;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
