import { formatBytes, formatDuration } from '../../core/bytes.ts';
import { displayWidth, expandTabs, fitWidth, padWidth } from './display-width.ts';
import { groupStyle, type Paint } from './paint.ts';
import { printableLine } from './printable-line.ts';
import type { RunningTask, UiState } from './reduce.ts';
import { taskTitle } from './wording.ts';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

export interface LiveOptions extends ScreenSize {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly paint: Paint;
}

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPINNER_STEP_MS = 150;
const OUTPUT_LINES = 4;
/** On wider terminals the eye would lose the line between its two ends. */
const MAX_WIDTH = 120;
const BAR_CELLS = 20;
const WIDTH_FOR_BAR = 80;
const WIDTH_FOR_BYTES = 60;

/**
 * The lines that are redrawn: one per running task, each followed by the last lines of its output, and a summary. None is
 * wider than the terminal, and together they leave its first line free; where there is no room, output goes first, then
 * the newest tasks.
 */
export function liveLines(state: UiState, options: LiveOptions): readonly string[] {
  const width = Math.max(1, Math.min(options.columns - 1, MAX_WIDTH));
  const room = Math.max(1, options.rows - 3);
  const tasks = [...state.running.values()];
  if (tasks.length === 0 && state.images.size === 0) return [];
  const shown = tasks.length > room ? tasks.slice(0, Math.max(0, room - 1)) : tasks;
  const groupWidth = Math.min(
    shown.reduce((most, task) => Math.max(most, displayWidth(groupText(task))), 0),
    Math.max(6, Math.floor(width / 4)),
  );
  const outputRoom = shareOut(
    shown.map(task => Math.min(task.lastLines.length, OUTPUT_LINES)),
    room - shown.length,
  );
  const lines = shown.flatMap((task, index) => [
    taskLine(task, width, groupWidth, options),
    ...outputLines(task, outputRoom[index]!, width, options.paint),
  ]);
  if (shown.length < tasks.length) {
    lines.push(options.paint('dim', fitWidth(`  … and ${tasks.length - shown.length} more`, width)));
  }
  return [...lines, summaryLine(state, width, options)];
}

/** Gives every taker one more in turn until each has what it wants or nothing is left. */
function shareOut(wanted: readonly number[], available: number): number[] {
  const given = wanted.map(() => 0);
  let left = available;
  for (let round = 0; round < OUTPUT_LINES; round++) {
    for (const [index, want] of wanted.entries()) {
      if (left <= 0 || given[index]! >= want) continue;
      given[index]!++;
      left--;
    }
  }
  return given;
}

function taskLine(task: RunningTask, width: number, groupWidth: number, { now, paint }: LiveOptions): string {
  const group = padWidth(fitWidth(groupText(task), groupWidth, 'start'), groupWidth);
  const right = [
    ...progressCells(task, width, paint),
    paint('dim', padWidth(formatDuration(Math.max(0, now - task.startedAt)), 6, 'right')),
  ];
  const rightWidth = right.reduce((sum, cell) => sum + 1 + displayWidth(unpainted(cell)), 0);
  const spinner = SPINNER[Math.floor(now / SPINNER_STEP_MS) % SPINNER.length]!;
  const titleWidth = width - 2 - groupWidth - 1 - rightWidth;
  if (titleWidth < 0) return fitWidth(`${spinner} ${group.trimEnd()} ${liveTitle(task)}`, width);
  const title = padWidth(fitWidth(liveTitle(task), titleWidth), titleWidth);
  return `${paint('cyan', spinner)} ${paint(groupStyle(groupText(task)), group)} ${title} ${right.join(' ')}`;
}

function groupText(task: RunningTask): string {
  return expandTabs(printableLine(task.group));
}

/** A shell that announces its commands says more than the name of the step. */
function liveTitle(task: RunningTask): string {
  return expandTabs(task.command === undefined ? taskTitle(task) : `${taskTitle(task)}: ${task.command}`);
}

function progressCells(task: RunningTask, width: number, paint: Paint): string[] {
  const { doneBytes, totalBytes } = task;
  if (doneBytes === 0 && totalBytes === undefined) return [];
  if (totalBytes === undefined || totalBytes <= 0) return [padWidth(formatBytes(doneBytes), 7, 'right')];
  const part = Math.min(1, doneBytes / totalBytes);
  const percent = padWidth(`${Math.floor(part * 100)}%`, 4, 'right');
  if (width < WIDTH_FOR_BYTES - 1) return [percent];
  const bytes = `${padWidth(formatBytes(doneBytes), 7, 'right')} / ${padWidth(formatBytes(totalBytes), 7)}`;
  if (width < WIDTH_FOR_BAR - 1) return [bytes, percent];
  const full = Math.round(part * BAR_CELLS);
  return [`${paint('green', '━'.repeat(full))}${paint('dim', '─'.repeat(BAR_CELLS - full))}`, bytes, percent];
}

function outputLines(task: RunningTask, count: number, width: number, paint: Paint): string[] {
  if (count === 0) return [];
  return task.lastLines.slice(-count).map(line => paint('dim', fitWidth(`  │ ${expandTabs(line)}`, width)));
}

function summaryLine(state: UiState, width: number, { now, paint }: LiveOptions): string {
  const elapsed = formatDuration(Math.max(0, now - (state.startedAt ?? now)));
  const statuses = [...state.images.values()];
  const count = (wanted: string) => statuses.filter(status => status === wanted).length;
  const parts =
    statuses.length > 0
      ? [
          `${count('done') + count('cached')} of ${statuses.length} images`,
          ...[`${count('cached')} cached`, `${count('failed')} failed`],
          `${state.running.size} running`,
        ]
      : [`${state.outcomes.done + state.outcomes.cached} done`, `${state.running.size} running`];
  const worth = parts.filter((part, index) => index === 0 || !part.startsWith('0 '));
  return paint('bold', fitWidth([elapsed, ...worth].join(' · '), width));
}

function unpainted(cell: string): string {
  return cell.replace(/\u001b\[\d+m/g, '');
}
