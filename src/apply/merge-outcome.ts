import { NOTHING_RENUMBERED } from './accounts/renumber-report.ts';
import type { DriverName, Remark } from './driver.ts';
import type { MergeConflict, MergeEntry, MergeResult, SettledPath, RenumberReport } from './merge-result.ts';

/** How far an outcome had come. */
export interface OutcomeMark {
  readonly entries: number;
  readonly settled: number;
  readonly conflicts: number;
  readonly regenerated: number;
}

interface Regenerated {
  readonly path: string;
  readonly command: readonly string[];
}

/** What a merge has found so far. What was found since a mark can be taken back. */
export class MergeOutcome {
  readonly #entries: MergeEntry[] = [];
  readonly #settled: SettledPath[] = [];
  readonly #conflicts: MergeConflict[] = [];
  readonly #regenerated: Regenerated[] = [];
  readonly #remarks: Remark[] = [];

  mark(): OutcomeMark {
    return {
      entries: this.#entries.length,
      settled: this.#settled.length,
      conflicts: this.#conflicts.length,
      regenerated: this.#regenerated.length,
    };
  }

  /** Takes back everything since a mark. */
  backTo(mark: OutcomeMark): void {
    this.#entries.length = mark.entries;
    this.#settled.length = mark.settled;
    this.#conflicts.length = mark.conflicts;
    this.#regenerated.length = mark.regenerated;
  }

  /** Takes back entries since a mark, and not what rules and drivers have settled. */
  forgetEntries(mark: OutcomeMark): void {
    this.#entries.length = mark.entries;
    const settled = this.#settled.splice(mark.settled).filter(({ driver }) => driver !== 'layers');
    for (const each of settled) this.#settled.push(each);
  }

  settle(path: string, driver: DriverName | undefined, sides: readonly string[], entry: MergeEntry | undefined): void {
    if (entry) this.#entries.push(entry);
    if (entry || driver !== undefined) this.#settled.push({ path, driver: driver ?? 'layers', sides });
  }

  regenerate(path: string, driver: DriverName, sides: readonly string[], command: readonly string[]): void {
    this.#regenerated.push({ path, command });
    this.#settled.push({ path, driver, sides });
  }

  /** In place of whatever was found for the path. */
  revise(path: string, driver: DriverName, entry: MergeEntry | undefined): void {
    const at = this.#entries.findIndex(each => each.path === path);
    if (at >= 0) this.#entries.splice(at, 1);
    if (entry) this.#entries.push(entry);
    if (!this.#settled.some(each => each.path === path)) this.#settled.push({ path, driver, sides: [] });
  }

  get hasConflicts(): boolean {
    return this.#conflicts.length > 0;
  }

  remark(remark: Remark): void {
    if (!this.#remarks.some(({ text }) => text === remark.text)) this.#remarks.push(remark);
  }

  addConflict(conflict: MergeConflict): void {
    this.#conflicts.push(conflict);
  }

  result(report: (entries: readonly MergeEntry[]) => RenumberReport = () => NOTHING_RENUMBERED): MergeResult {
    const commands = new Map<string, { readonly command: readonly string[]; readonly paths: string[] }>();
    for (const { path, command } of this.#regenerated.toSorted(byPath)) {
      const key = JSON.stringify(command);
      const known = commands.get(key);
      if (known) known.paths.push(path);
      else commands.set(key, { command, paths: [path] });
    }
    const said = new Set<string>();
    const conflicts = this.#conflicts.toSorted(byPath).filter(({ path, message }) => {
      const key = `${path}\0${message}`;
      return !said.has(key) && said.add(key);
    });
    const excluding = conflicts.filter(({ excludes }) => excludes);
    const entries = this.#entries.toSorted(byPath);
    return {
      entries,
      renumbered: report(entries),
      settled: this.#settled.toSorted(byPath),
      regenerate: [...commands.values()],
      remarks: [...this.#remarks],
      conflicts: excluding.length > 0 ? excluding : conflicts,
    };
  }
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
