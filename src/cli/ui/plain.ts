import type { StkEvent } from '../../core/events.ts';
import { groupStyle, painter } from './paint.ts';
import { printableLine, printableLines } from './printable-line.ts';
import { imageEnd, progressText, taskEnd, taskTitle } from './wording.ts';

/** The shortest time between two lines about the progress of one task. */
const PROGRESS_EVERY_MS = 5000;

export interface PlainOptions {
  readonly color: boolean;
  /** Shows `debug` messages too. */
  readonly debug: boolean;
}

/** Turns events, fed in order, into whole lines without terminators. */
export type LineFormatter = (event: StkEvent) => readonly string[];

interface KnownTask {
  readonly group: string;
  readonly title: string;
  /** When a line about this task was last written, from the events' own clock. */
  saidAt: number;
  doneBytes: number;
}

/**
 * Lines for logs and pipes: every line carries the image or reference that it is about as `NAME │ `, output of steps
 * follows that prefix unchanged but for what could drive a terminal, and nothing is ever rewritten.
 */
export function plainFormatter(options: PlainOptions): LineFormatter {
  const paint = painter(options.color);
  const tasks = new Map<string, KnownTask>();
  const line = (group: string, text: string) => {
    const name = printableLine(group);
    return `${paint(groupStyle(name), `${name} │`)} ${text}`;
  };

  return event => {
    switch (event.type) {
      case 'build-started':
        return [`building ${event.images.map(printableLine).join(', ')}`];
      case 'image-started':
        return [];
      case 'image-finished': {
        const failed = event.outcome === 'failed';
        return [line(event.image, paint(failed ? 'red' : 'bold', `image ${imageEnd(event)}`))];
      }
      case 'task-started': {
        const task = { group: event.group, title: taskTitle(event), saidAt: event.at, doneBytes: 0 };
        tasks.set(event.id, task);
        return [line(task.group, paint('dim', `${task.title}: started`))];
      }
      case 'task-progress': {
        const task = tasks.get(event.id);
        if (!task) return [];
        task.doneBytes = event.doneBytes;
        if (event.at - task.saidAt < PROGRESS_EVERY_MS) return [];
        task.saidAt = event.at;
        return [line(task.group, paint('dim', `${task.title}: ${progressText(event.doneBytes, event.totalBytes)}`))];
      }
      case 'task-output':
        return event.lines.map(text => line(event.group, printableLine(text)));
      case 'task-finished': {
        const end = `${taskTitle(event)}: ${taskEnd(event, tasks.get(event.id)?.doneBytes)}`;
        tasks.delete(event.id);
        return [line(event.group, paint(event.outcome === 'failed' ? 'red' : 'dim', end))];
      }
    }
    return messageLines(event, options, line);
  };
}

type Message = Extract<StkEvent, { type: 'message' }>;

function messageLines(
  event: Message,
  options: PlainOptions,
  line: (group: string, text: string) => string,
): readonly string[] {
  if (event.level === 'debug' && !options.debug) return [];
  const paint = painter(options.color);
  const style = { debug: 'dim', info: undefined, warning: 'yellow', error: 'red' } as const;
  const painted = style[event.level];
  return printableLines(event.text).map((text, index) => {
    const worded = index > 0 || event.level === 'info' ? text : `${event.level}: ${text}`;
    const shown = painted === undefined ? worded : paint(painted, worded);
    return event.group === undefined ? shown : line(event.group, shown);
  });
}

/** Warnings and errors only. */
export function quietFormatter(options: { readonly color: boolean }): LineFormatter {
  const plain = plainFormatter({ ...options, debug: false });
  return event =>
    event.type === 'message' && (event.level === 'warning' || event.level === 'error') ? plain(event) : [];
}
