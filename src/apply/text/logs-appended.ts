const NEWLINE = 0x0a;

/**
 * What the ancestor has, as long as every side begins with it, then what each side has beyond, in order; additions that are
 * equal count once. A side that was emptied or rotated does without the ancestor's part, so the result does, too.
 * `undefined` for binary files.
 */
export function mergeAppendedLines(ancestor: Buffer | undefined, sides: readonly Buffer[]): Buffer | undefined {
  if (sides.some(bytes => bytes.includes(0))) return undefined;
  const parts = appendedParts(ancestor, sides);
  return Buffer.concat(parts.flatMap(part => (part.at(-1) === NEWLINE ? [part] : [part, Buffer.from('\n')])));
}

/** As `mergeAppendedLines` for records of one size; `undefined` where a file has a part of a record. */
export function mergeAppendedRecords(
  ancestor: Buffer | undefined,
  sides: readonly Buffer[],
  recordBytes: number,
): Buffer | undefined {
  if (sides.some(bytes => bytes.length % recordBytes !== 0)) return undefined;
  return Buffer.concat(appendedParts(ancestor, sides));
}

function appendedParts(ancestor: Buffer = Buffer.alloc(0), sides: readonly Buffer[]): readonly Buffer[] {
  const extendsAncestor = (bytes: Buffer) => bytes.subarray(0, ancestor.length).equals(ancestor);
  const parts = sides.every(extendsAncestor) ? [ancestor] : [];
  const seen: Buffer[] = [];
  for (const bytes of sides) {
    const added = extendsAncestor(bytes) ? bytes.subarray(ancestor.length) : bytes;
    if (seen.some(other => other.equals(added))) continue;
    seen.push(added);
    parts.push(added);
  }
  return parts.filter(part => part.length > 0);
}
