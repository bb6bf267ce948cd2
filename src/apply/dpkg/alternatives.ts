import { isSafeName } from './dpkg-paths.ts';
import { mergeKeyed, mergeValue } from '../text/three-way.ts';

/** Another link that follows the choice, such as the manual page of a program. */
interface Slave {
  readonly name: string;
  readonly link: string;
}

interface Choice {
  readonly file: string;
  readonly priority: number;
  /** The line with the priority: chkconfig's has a family before it and a service after it. */
  readonly rank: string;
  /** By name of the slave; absent ones are missing. */
  readonly slaves: ReadonlyMap<string, string>;
}

/** A group of alternatives as `/var/lib/dpkg/alternatives/NAME` or `/var/lib/alternatives/NAME` holds it. */
export interface Alternatives {
  /** Who writes it: dpkg's or SUSE's update-alternatives, or that of chkconfig, which sorts nothing and ends at the last choice. */
  readonly style: 'dpkg' | 'chkconfig';
  readonly mode: 'auto' | 'manual';
  /** The link that users see, such as `/usr/bin/awk`. */
  readonly link: string;
  readonly slaves: ReadonlyMap<string, Slave>;
  readonly choices: ReadonlyMap<string, Choice>;
}

export interface SideAlternatives {
  readonly name: string;
  /** `undefined`: it has no such group any more. */
  readonly group: Alternatives | undefined;
  /** What `/etc/alternatives/NAME` points to. */
  readonly current: string | undefined;
}

export interface MergedAlternatives {
  readonly group: Alternatives | undefined;
  /** What `/etc/alternatives/NAME` has to point to. */
  readonly current: string | undefined;
}

/** `@FAMILY@PRIORITY SERVICE`, of which dpkg has the priority alone. */
const RANK = /^(?:@[^@]*@)?(-?\d{1,9})(?: [^\n]*)?$/;

/**
 * Reads the file of a group (update-alternatives(1), "Administrative files"; chkconfig's `alternatives.c`); a text says what
 * is wrong with it.
 */
export function parseAlternatives(text: string): Alternatives | string {
  if (!text.endsWith('\n')) return 'its last line is cut off';
  if (text.includes('\0')) return 'it holds NUL bytes';
  const lines = text.split('\n');
  let at = 0;
  const take = () => lines[at++] ?? '';
  const mode = take();
  if (mode !== 'auto' && mode !== 'manual') return 'it does not begin with a mode';
  const link = take();
  if (!link.startsWith('/')) return 'its link is no absolute path';
  const slaves = new Map<string, Slave>();
  for (let name = take(); name !== ''; name = take()) {
    const slave = { name, link: take() };
    if (!isSafeName(name) || !slave.link.startsWith('/')) return 'a slave link is no absolute path';
    if (slaves.has(name)) return 'it has two slave links of one name';
    slaves.set(name, slave);
  }
  const choices = new Map<string, Choice>();
  for (let file = take(); file !== ''; file = take()) {
    const rank = take();
    const priority = RANK.exec(rank)?.[1];
    if (!file.startsWith('/') || priority === undefined) return 'a choice has no path or no priority';
    const followers = new Map<string, string>();
    for (const name of slaves.keys()) {
      const target = take();
      if (target !== '') followers.set(name, target);
    }
    if (at >= lines.length) return 'it ends in the middle of a choice';
    if (choices.has(file)) return 'it has two choices of one path';
    choices.set(file, { file, priority: Number(priority), rank, slaves: followers });
  }
  // A blank line behind the choices, of which the end of the text is none.
  const style = at < lines.length ? 'dpkg' : 'chkconfig';
  if (style === 'dpkg' && [...choices.values()].some(({ rank, priority }) => rank !== String(priority))) {
    return 'a choice has no path or no priority';
  }
  return { style, mode, link, slaves, choices };
}

/** The text of a group's file; dpkg's has slaves and choices by name. */
export function formatAlternatives({ style, mode, link, slaves, choices }: Alternatives): string {
  const isDpkg = style === 'dpkg';
  const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const isUsed = ({ name }: Slave) => [...choices.values()].some(choice => choice.slaves.has(name));
  const all = [...slaves.values()];
  const sorted = isDpkg ? all.filter(isUsed).toSorted((a, b) => byName(a.name, b.name)) : all;
  const lines: string[] = [mode, link, ...sorted.flatMap(slave => [slave.name, slave.link]), ''];
  for (const choice of isDpkg ? byFile(choices) : choices.values()) {
    lines.push(choice.file, choice.rank, ...sorted.map(({ name }) => choice.slaves.get(name) ?? ''));
  }
  return `${[...lines, ...(isDpkg ? [''] : [])].join('\n')}\n`;
}

/** Merges a group, or says in a sentence what clashes. A group without choices is gone. */
export function mergeAlternatives(
  name: string,
  ancestor: { readonly group: Alternatives | undefined; readonly current: string | undefined },
  sides: readonly SideAlternatives[],
): MergedAlternatives | string {
  const clashes: string[] = [];
  const clash = (what: string, involved: readonly SideAlternatives[]) =>
    clashes.push(
      `${what} of the alternatives ${name} differs between ${involved.map(side => side.name).join(' and ')}`,
    );
  const sidesOf = (changes: readonly { readonly side: number }[]) => changes.map(({ side }) => sides[side]!);
  const slaves = mergeKeyed<Slave>({
    ancestor: ancestor.group?.slaves ?? new Map<string, Slave>(),
    sides: sides.map(({ group }) => group?.slaves ?? new Map<string, Slave>()),
    equal: (a, b) => a.link === b.link,
    settle: (key, _before, changes) => {
      const present = changes.filter(({ value }) => value !== undefined);
      if (present.some(({ value }) => value!.link !== present[0]!.value!.link)) {
        clash(`the slave link ${key}`, sidesOf(present));
      }
      return present[0]?.value;
    },
  });
  const choices = mergeKeyed<Choice>({
    ancestor: ancestor.group?.choices ?? new Map<string, Choice>(),
    sides: sides.map(({ group }) => group?.choices ?? new Map<string, Choice>()),
    equal: isSameChoice,
    settle: (key, _before, changes) => {
      clash(`the choice ${key}`, sidesOf(changes));
      return changes.find(({ value }) => value)?.value;
    },
  });
  // A link that a choice needs stays, though a side that has no such choice dropped it.
  for (const { group } of [ancestor, ...sides]) {
    for (const slave of group?.slaves.values() ?? []) if (!slaves.has(slave.name)) slaves.set(slave.name, slave);
  }
  const present = sides.filter(({ group }) => group !== undefined);
  const link = mergeValue(
    ancestor.group?.link,
    present.map(({ group }) => group!.link),
  );
  if ('clash' in link)
    clash(
      'the link',
      link.clash.map(({ side }) => present[side]!),
    );
  if (clashes[0] !== undefined) return clashes[0];
  if (choices.size === 0) return { group: undefined, current: undefined };
  const manual = present.filter(({ group, current }) => isSelected(ancestor, group!, current));
  const [chosen, ...others] = manual;
  if (others.some(({ current }) => current !== chosen?.current)) {
    return `the selection of the alternatives ${name} differs between ${manual.map(side => side.name).join(' and ')}`;
  }
  const modes = mergeValue(
    ancestor.group?.mode,
    present.map(({ group }) => group!.mode),
  );
  const mode = 'value' in modes ? (modes.value ?? 'auto') : 'manual';
  const selected = chosen?.current ?? ancestor.current;
  const kept = mode === 'manual' && selected !== undefined && choices.has(selected) ? selected : undefined;
  const { style } = present.at(-1)!.group!;
  const group: Alternatives = {
    style,
    mode: kept === undefined ? 'auto' : 'manual',
    link: ('value' in link && link.value) || present[0]!.group!.link,
    slaves,
    choices,
  };
  return { group, current: kept ?? bestOf(style === 'dpkg' ? byFile(choices) : [...choices.values()]) };
}

/** Whether somebody selected a choice by hand on this side and not already in the ancestor. */
function isSelected(
  ancestor: { readonly group: Alternatives | undefined; readonly current: string | undefined },
  group: Alternatives,
  current: string | undefined,
): boolean {
  return group.mode === 'manual' && (ancestor.group?.mode !== 'manual' || ancestor.current !== current);
}

/** The first of those with the highest priority, in the order of the file. */
function bestOf(choices: readonly Choice[]): string | undefined {
  let best: Choice | undefined;
  for (const choice of choices) if (best === undefined || choice.priority > best.priority) best = choice;
  return best?.file;
}

function byFile(choices: ReadonlyMap<string, Choice>): readonly Choice[] {
  return [...choices.values()].toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
}

function isSameChoice(a: Choice, b: Choice): boolean {
  if (a.rank !== b.rank || a.slaves.size !== b.slaves.size) return false;
  return [...a.slaves].every(([name, target]) => b.slaves.get(name) === target);
}
