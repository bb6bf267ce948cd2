import type { Outcome, PathVersions } from '../driver.ts';
import { conflict, isConflict, readContents, shown, takeLastPresent } from '../file-versions.ts';
import { mergeLineFile, mergeLines, type LineFormat } from './dpkg-lines.ts';

const MD5SUMS: LineFormat = {
  linesPerEntry: 1,
  keyOf: ([line = '']) => /^[0-9a-f]{32}\s+(.+)$/.exec(line)?.[1],
  noun: 'digest of',
};

/**
 * Merges a control file of a package that sides have in one version (the files of packages in several come from one side).
 * Lists are united; scripts of one version that differ were not made by one build.
 */
export async function mergeInfo(
  versions: PathVersions,
  { stem, type }: { readonly stem: string; readonly type: string },
): Promise<Outcome> {
  const present = versions.sides.filter(({ node }) => node !== undefined);
  // A package that one side removed and another did not is decided by its record.
  if (present.length < 2) return takeLastPresent(versions);
  const contents = await readContents(versions);
  if (isConflict(contents)) return contents;
  const lines = {
    path: versions.path,
    ancestor: contents.ancestor?.toString('latin1') ?? '',
    sides: contents.sides.map(({ name, bytes }) => ({ name, text: bytes?.toString('latin1') ?? '' })),
  };
  if (type === 'list' || type === 'triggers' || type === 'conffiles') return mergeLineFile(lines, false);
  if (type === 'md5sums') return mergeLines(lines, MD5SUMS);
  const names = present.map(({ name }) => name).join(' and ');
  return conflict(`the ${shown(type)} of the package ${shown(stem)} differs between ${names}, in one version`);
}
