import type { Outcome } from '../driver.ts';
import { conflict, shown, textOutcome } from '../file-versions.ts';
import { isInstalled, type PackageDatabase } from './dpkg-database.ts';
import type { SideText } from './dpkg-lines.ts';
import { fieldOf, isDamaged, joinStanzas, splitStanzas } from '../packages/stanzas.ts';
import { mergeKeyed } from '../text/three-way.ts';

interface Mark {
  readonly isAutomatic: boolean;
  /** As apt keeps it; `undefined` where it has nothing to say, since the package was asked for. */
  readonly stanza: string | undefined;
}

type Marks = ReadonlyMap<string, Mark>;

/** A tree's marks as text, and its packages: apt keeps no word of what was asked for. */
export interface MarkedPackages extends SideText {
  readonly packages: PackageDatabase;
}

export interface AutomaticMerge {
  /** For messages. */
  readonly path: string;
  readonly ancestor: MarkedPackages;
  /** Those that changed their marks or their packages. */
  readonly sides: readonly MarkedPackages[];
}

/**
 * Merges apt's marks of packages that came as dependencies (`/var/lib/apt/extended_states`). What one side was asked to
 * install is not automatic, whatever others say.
 */
export function mergeAutomatic({ path, ancestor, sides }: AutomaticMerge): Outcome {
  const parsed: Marks[] = [];
  for (const { name, text, packages } of [ancestor, ...sides]) {
    const marks = parseMarks(text, packages);
    if (typeof marks === 'string') return conflict(`/${shown(path)} of ${name} is damaged: ${marks}`);
    parsed.push(marks);
  }
  const merged = mergeKeyed<Mark>({
    ancestor: parsed[0]!,
    sides: parsed.slice(1),
    equal: (a, b) => a.isAutomatic === b.isAutomatic && a.stanza === b.stanza,
    settle: (_key, _before, changes) => {
      const present = changes.flatMap(({ value }) => value ?? []);
      return present.find(({ isAutomatic }) => !isAutomatic) ?? present[0];
    },
  });
  return textOutcome(joinStanzas([...merged.values()].flatMap(({ stanza }) => stanza ?? [])));
}

function parseMarks(text: string, packages: PackageDatabase): Marks | string {
  const stanzas = splitStanzas(text);
  if (isDamaged(stanzas)) return stanzas.damage;
  const marks = new Map<string, Mark>();
  for (const stanza of stanzas) {
    const name = fieldOf(stanza, 'Package');
    if (name === undefined || name === '') return 'a stanza names no package';
    const key = `${name}:${fieldOf(stanza, 'Architecture') ?? ''}`;
    if (marks.has(key)) return `it has two stanzas of ${shown(name)}`;
    marks.set(key, { isAutomatic: fieldOf(stanza, 'Auto-Installed') === '1', stanza });
  }
  const native = [...packages.values()].find(({ name }) => name === 'dpkg')?.architecture;
  for (const record of packages.values()) {
    // apt files packages of all architectures under the native one.
    const architecture = record.architecture === 'all' ? (native ?? 'all') : record.architecture;
    const key = `${record.name}:${architecture}`;
    if (isInstalled(record) && !marks.has(key)) marks.set(key, { isAutomatic: false, stanza: undefined });
  }
  return marks;
}
