import type { MergeDriver, Outcome, PathVersions } from '../driver.ts';
import { isConflict, readContents, takeLast, takeLastPresent, textOutcome } from '../file-versions.ts';
import { mergeAppendedLines, mergeAppendedRecords } from './logs-appended.ts';
import { mergeLineSets } from './three-way.ts';

type Kind = 'log' | 'records' | 'last' | 'cache' | 'drop' | 'lines';

/** What each path is; the first pattern that matches decides. */
const KINDS: readonly (readonly [RegExp, Kind])[] = [
  // utmp(5): records that are only appended.
  [/^var\/log\/(?:wtmp|btmp)$/, 'records'],
  // Tables by user id, and journals: binary, with what runs now as their only use.
  [/^var\/log\/(?:lastlog|faillog|tallylog|journal\/.+)$/, 'last'],
  [/^var\/log\/.+$/, 'log'],
  [/^var\/cache\/apt\/[^/]+\.bin$/, 'drop'],
  [/^var\/lib\/apt\/(?:lists|periodic)\/.+$/, 'cache'],
  [/^var\/cache\/(?:apt|man|apk|dnf|yum|zypp|libdnf5|pip|apparmor|PackageKit)\/.+$/, 'cache'],
  [/^(?:var\/lib\/(?:dnf|yum)|usr\/lib\/sysimage\/libdnf5)\/.+$/, 'last'],
  [/^var\/lib\/systemd\/catalog\/database$/, 'cache'],
  [/^(?:run|tmp|var\/run|var\/tmp|root\/\.cache)\/.+$/, 'cache'],
  [/^etc\/(?:shells|ca-certificates\.conf|locale\.gen)$/, 'lines'],
  [/^etc\/(?:\.pwd\.lock|\.updated)$|^var\/\.updated$/, 'last'],
];

/** Beyond this the last side's log is taken. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;
const UTMP_RECORD_BYTES = 384;

/**
 * Logs, caches, lists of lines and what is random. Where one side deleted what another changed, a cache is deleted and a log
 * is kept; where they are united, it is the lines or records that each side appended to what the ancestor has.
 */
export const logs: MergeDriver = {
  name: 'logs',
  claims: path => kindOf(path) !== undefined,
  async merge(versions) {
    switch (kindOf(versions.path)) {
      case 'log':
        return mergeLog(versions, false);
      case 'records':
        return mergeLog(versions, true);
      case 'lines':
        return mergeList(versions);
      case 'cache':
        return versions.sides.some(({ node }) => node === undefined) ? { type: 'drop' } : takeLast(versions);
      case 'drop':
        return { type: 'drop' };
      case 'last':
      case undefined:
        return takeLast(versions);
    }
  },
};

function kindOf(path: string): Kind | undefined {
  return KINDS.find(([pattern]) => pattern.test(path))?.[1];
}

async function mergeLog(versions: PathVersions, binary: boolean): Promise<Outcome> {
  const contents = await readContents(versions, MAX_LOG_BYTES);
  const present = isConflict(contents) ? [] : contents.sides.flatMap(({ bytes }) => bytes ?? []);
  if (isConflict(contents) || present.length < 2) return takeLastPresent(versions);
  const united = binary
    ? mergeAppendedRecords(contents.ancestor, present, UTMP_RECORD_BYTES)
    : mergeAppendedLines(contents.ancestor, present);
  return united === undefined ? takeLastPresent(versions) : { type: 'content', bytes: united };
}

async function mergeList(versions: PathVersions): Promise<Outcome> {
  const contents = await readContents(versions);
  if (isConflict(contents)) return contents;
  const present = contents.sides.flatMap(({ bytes }) => bytes?.toString('latin1') ?? []);
  if (present.length < 2) return takeLastPresent(versions);
  return textOutcome(mergeLineSets(contents.ancestor?.toString('latin1') ?? '', present));
}
