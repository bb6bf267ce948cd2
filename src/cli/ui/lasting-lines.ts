import type { StkEvent, TaskOutcome } from '../../core/events.ts';
import { formatDuration } from '../../core/bytes.ts';
import { fitWidth } from './display-width.ts';
import { groupStyle, type Paint } from './paint.ts';
import { printableLine, printableLines } from './printable-line.ts';
import type { RunningTask, UiState } from './reduce.ts';
import { imageEnd, taskEnd, taskTitle } from './wording.ts';

const MARKS: Readonly<Record<TaskOutcome, string>> = { done: '✓', cached: '✓', failed: '✗', canceled: '−' };

/** Output lines of a step that are shown when the terminal is handed to somebody else. */
const SHOWN_ON_SUSPEND = 10;

/** A reference may be long; its end says most. */
const MAX_GROUP_WIDTH = 40;

/** What an event leaves on a terminal for good, above the lines that are redrawn; `before` is the state without it. */
export function lastingLines(
  before: UiState,
  event: StkEvent,
  options: { readonly paint: Paint; readonly debug: boolean },
): readonly string[] {
  const { paint } = options;
  switch (event.type) {
    case 'image-finished': {
      const end = `image ${imageEnd(event)}`;
      const failed = event.outcome === 'failed';
      return [`${mark(paint, event.outcome)} ${name(paint, event.image)} ${paint(failed ? 'red' : 'bold', end)}`];
    }
    case 'task-finished': {
      const task = before.running.get(event.id);
      const failed = event.outcome === 'failed';
      const end = `${taskTitle(event)}: ${taskEnd(event, task?.doneBytes)}`;
      const line = `${mark(paint, event.outcome)} ${name(paint, event.group)} ${paint(failed ? 'red' : 'dim', end)}`;
      return failed && task ? [...quoted(task.lastLines, paint), line] : [line];
    }
    case 'message': {
      if (event.level === 'debug' && !options.debug) return [];
      return messageLines(event, paint);
    }
    default:
      return [];
  }
}

/** The last output of running steps, for whoever takes over the terminal. */
export function outputSoFar(state: UiState, paint: Paint): readonly string[] {
  const talking = [...state.running.values()].filter(task => task.lastLines.length > 0);
  return talking.flatMap(task => [
    `${name(paint, task.group)} ${paint('dim', `${taskTitle(task)}: output so far`)}`,
    ...quoted(task.lastLines.slice(-SHOWN_ON_SUSPEND), paint),
  ]);
}

/** How a build of several images ended; nothing for other work. */
export function closingLines(state: UiState, now: number, paint: Paint): readonly string[] {
  const { images, startedAt } = state;
  if (images.size < 2 || startedAt === undefined) return [];
  const statuses = [...images.values()];
  const count = (...wanted: readonly string[]) => statuses.filter(status => wanted.includes(status)).length;
  const parts = [
    `${count('done')} built`,
    `${count('cached')} cached`,
    `${count('failed')} failed`,
    `${count('canceled', 'waiting', 'running')} not built`,
  ].filter(part => !part.startsWith('0 '));
  return [paint('bold', `${images.size} images: ${parts.join(', ')}, in ${formatDuration(now - startedAt)}`)];
}

function quoted(lines: RunningTask['lastLines'], paint: Paint): string[] {
  return lines.map(line => `  ${paint('dim', '│')} ${line}`);
}

function mark(paint: Paint, outcome: TaskOutcome): string {
  const style = outcome === 'failed' ? 'red' : outcome === 'canceled' ? 'dim' : 'green';
  return paint(style, MARKS[outcome]);
}

function name(paint: Paint, group: string): string {
  const whole = printableLine(group);
  return paint(groupStyle(whole), fitWidth(whole, MAX_GROUP_WIDTH, 'start'));
}

function messageLines(event: Extract<StkEvent, { type: 'message' }>, paint: Paint): readonly string[] {
  const prefix = event.group === undefined ? '' : `${name(paint, event.group)} `;
  const [first = '', ...rest] = printableLines(event.text);
  const [sign, headline] = {
    debug: [paint('dim', '·'), paint('dim', first)],
    info: [paint('dim', '·'), first],
    warning: [paint('yellow', '!'), paint('yellow', `warning: ${first}`)],
    error: [paint('red', '✗'), paint('red', `error: ${first}`)],
  }[event.level];
  return [`${sign} ${prefix}${headline}`, ...rest.map(line => `  ${line}`)];
}
