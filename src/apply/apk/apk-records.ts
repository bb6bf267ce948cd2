import type { PackageState } from '../packages/package-choice.ts';
import { splitLines } from '../text/three-way.ts';

/** A record of `lib/apk/db/installed`. Texts are byte strings. */
export interface ApkPackage extends PackageState {
  /** The record's lines as they are. */
  readonly text: string;
  /** Checksum (`C:`), by which scripts and triggers name their package. */
  readonly checksum: string;
}

const MAX_PACKAGES = 100_000;

/** Reads the database of installed packages, by name; says what is wrong where it is damaged. */
export function parseInstalled(text: string): ReadonlyMap<string, ApkPackage> | { readonly problem: string } {
  if (text.includes('\0')) return { problem: 'it has NUL bytes' };
  // Each record ends with an empty line, so a file that is cut off does not.
  if (text !== '' && !text.endsWith('\n\n')) return { problem: 'it is cut off' };
  const packages = new Map<string, ApkPackage>();
  for (const record of text.split('\n\n')) {
    if (record === '' || record === '\n') continue;
    const parsed = parseRecord(record.replace(/^\n+/, ''));
    if ('problem' in parsed) return parsed;
    if (packages.has(parsed.name)) return { problem: 'a package stands in it twice' };
    packages.set(parsed.name, parsed);
    if (packages.size > MAX_PACKAGES) return { problem: `it has more than ${MAX_PACKAGES} packages` };
  }
  return packages;
}

function parseRecord(text: string): ApkPackage | { readonly problem: string } {
  let [name, version, checksum] = ['', '', ''];
  for (const line of splitLines(text)) {
    if (line[1] !== ':') return { problem: 'a line of it is no field' };
    const value = line.slice(2);
    if (line[0] === 'P') name = value;
    else if (line[0] === 'V') version = value;
    else if (line[0] === 'C') checksum = value;
  }
  if (name === '' || version === '') return { problem: 'a record of it has no name or no version' };
  return { name, version, checksum, text, identity: text, files: () => filesOf(text) };
}

/** `F:` opens a directory, `R:` is a file in it. */
function filesOf(text: string): readonly string[] {
  const files: string[] = [];
  let directory = '';
  for (const line of splitLines(text)) {
    if (line.startsWith('F:')) directory = line.slice(2);
    else if (line.startsWith('R:')) files.push(directory === '' ? line.slice(2) : `${directory}/${line.slice(2)}`);
  }
  return files;
}

export function encodeInstalled(packages: Iterable<ApkPackage>): string {
  return [...packages].map(({ text }) => `${text}\n\n`).join('');
}

/** In ascending order of names where all sources are so, else as they came. */
export function inCommonOrder<T>(
  merged: readonly T[],
  sources: readonly (readonly T[])[],
  nameOf: (item: T) => string,
): readonly T[] {
  const before = (a: T, b: T) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0);
  const isSorted = (items: readonly T[]) => items.every((item, i) => i === 0 || before(items[i - 1]!, item) <= 0);
  return sources.every(isSorted) ? merged.toSorted(before) : merged;
}
