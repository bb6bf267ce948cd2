import type { MergeContext, Outcome, PathVersions } from '../driver.ts';
import { compareDebianVersions } from './debian-version.ts';
import { parseRecord, type PackageRecord } from './dpkg-database.ts';
import { decidePackage, type PackageChange } from './dpkg-decide.ts';
import type { LineMerge } from './dpkg-lines.ts';
import { conflict, shown, textOutcome } from '../file-versions.ts';
import { fieldOf, isDamaged, joinStanzas, splitStanzas, type Damage } from '../packages/stanzas.ts';
import { mergeKeyed } from '../text/three-way.ts';

/** Merges packages that are known of, not installed (`available`): the newest of each. */
export function mergeLooseRecords({ path, ancestor, sides }: LineMerge): Outcome {
  const parsed: ReadonlyMap<string, string>[] = [];
  for (const { name, text } of [{ name: 'the base', text: ancestor }, ...sides]) {
    const stanzas = stanzasByPackage(text);
    if (isDamaged(stanzas)) return conflict(`/${shown(path)} of ${name} is damaged: ${stanzas.damage}`);
    parsed.push(stanzas);
  }
  const merged = mergeKeyed<string>({
    ancestor: parsed[0]!,
    sides: parsed.slice(1),
    equal: (a, b) => a === b,
    settle: (_key, _before, changes) => {
      const versions = changes.flatMap(({ value }) => value ?? []);
      const version = (stanza: string) => fieldOf(stanza, 'Version') ?? '';
      return versions.toSorted((a, b) => compareDebianVersions(version(b), version(a)))[0];
    },
  });
  return textOutcome(joinStanzas(merged.values()));
}

/**
 * Merges the record of one package in a file of its own (`status.d`), as images without dpkg keep it. Two versions are a
 * conflict always: whose files are there is decided path by path.
 */
export function mergeRecordFile(
  { ancestor, sides }: LineMerge,
  versions: PathVersions,
  context: MergeContext,
): Outcome {
  const before = recordOf(ancestor);
  if (before !== undefined && isDamaged(before)) return damagedOutcome(versions, 'the base', before);
  const changes: PackageChange[] = [];
  for (const [index, { name, text }] of sides.entries()) {
    const record = recordOf(text);
    if (record !== undefined && isDamaged(record)) return damagedOutcome(versions, name, record);
    changes.push({ side: versions.sides[index]!.side, name: context.sides[versions.sides[index]!.side]!.name, record });
  }
  const { record, conflict: reason } = decidePackage(before, changes, undefined);
  if (reason) return { type: 'conflict', conflict: { ...reason, remedies: ['last', 'first'] } };
  return record === undefined ? { type: 'drop' } : textOutcome(record.stanza);
}

function recordOf(text: string): PackageRecord | Damage | undefined {
  const stanzas = splitStanzas(text === '' || text.endsWith('\n') ? text : `${text}\n`);
  if (isDamaged(stanzas)) return stanzas;
  const [stanza, ...others] = stanzas;
  if (others.length > 0) return { damage: 'it holds more than one stanza' };
  return stanza === undefined ? undefined : parseRecord(stanza);
}

function stanzasByPackage(text: string): ReadonlyMap<string, string> | Damage {
  const stanzas = splitStanzas(text);
  if (isDamaged(stanzas)) return stanzas;
  const found = new Map<string, string>();
  for (const stanza of stanzas) {
    const name = fieldOf(stanza, 'Package');
    if (name === undefined || name === '') return { damage: 'a stanza names no package' };
    found.set(`${name}:${fieldOf(stanza, 'Architecture') ?? ''}`, stanza);
  }
  return found;
}

function damagedOutcome({ path }: PathVersions, whose: string, { damage }: Damage): Outcome {
  return conflict(`/${shown(path)} of ${whose} is damaged: ${damage}`);
}
