import type { StkEvent, TaskKind, TaskOutcome } from '../../core/events.ts';
import { printableLine } from './printable-line.ts';

/** Bounds of what is kept, whatever the number of events. */
export const KEPT_OUTPUT_LINES = 50;
export const KEPT_FINISHED = 50;
export const KEPT_MESSAGES = 50;

export type ImageStatus = 'waiting' | 'running' | TaskOutcome;
export type Message = Extract<StkEvent, { type: 'message' }>;

export interface RunningTask {
  readonly id: string;
  readonly group: string;
  readonly kind: TaskKind;
  readonly label: string;
  readonly startedAt: number;
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** The last lines of its output, made harmless, oldest first. */
  readonly lastLines: readonly string[];
  /** What a shell with `-x` announced last. */
  readonly command: string | undefined;
}

export interface FinishedTask {
  readonly group: string;
  readonly kind: TaskKind;
  readonly label: string;
  readonly outcome: TaskOutcome;
  readonly durationMs: number;
  readonly detail: string | undefined;
  readonly doneBytes: number;
  /** Of a failed task only. */
  readonly lastLines: readonly string[];
}

/** What is known of the work after some events. Times are milliseconds since the Unix epoch. */
export interface UiState {
  /** Time of the first event. */
  readonly startedAt: number | undefined;
  /** In the order of the recipe. */
  readonly images: ReadonlyMap<string, ImageStatus>;
  /** By id, in the order in which they began. */
  readonly running: ReadonlyMap<string, RunningTask>;
  /** The most recent ones, oldest first. */
  readonly finished: readonly FinishedTask[];
  /** How all finished tasks ended. */
  readonly outcomes: Readonly<Record<TaskOutcome, number>>;
  /** The most recent ones above `debug`, oldest first. */
  readonly messages: readonly Message[];
}

export const initialState: UiState = {
  startedAt: undefined,
  images: new Map(),
  running: new Map(),
  finished: [],
  outcomes: { done: 0, cached: 0, failed: 0, canceled: 0 },
  messages: [],
};

/** The state after one more event. Events about tasks that never started are no error. */
export function reduce(before: UiState, event: StkEvent): UiState {
  const state = before.startedAt === undefined ? { ...before, startedAt: event.at } : before;
  switch (event.type) {
    case 'build-started':
      return { ...state, images: new Map([...state.images, ...event.images.map(name => [name, 'waiting'] as const)]) };
    case 'image-started':
      return { ...state, images: new Map(state.images).set(event.image, 'running') };
    case 'image-finished':
      return { ...state, images: new Map(state.images).set(event.image, event.outcome) };
    case 'task-started': {
      const { id, group, kind, label, at } = event;
      const nothing = { doneBytes: 0, totalBytes: undefined, lastLines: [], command: undefined };
      return withTask(state, { id, group, kind, label, startedAt: at, ...nothing });
    }
    case 'task-progress': {
      const task = state.running.get(event.id);
      if (!task) return state;
      return withTask(state, { ...task, doneBytes: event.doneBytes, totalBytes: event.totalBytes });
    }
    case 'task-output': {
      const task = state.running.get(event.id);
      return task ? withTask(state, withOutput(task, event)) : state;
    }
    case 'task-finished':
      return withFinished(state, event);
  }
  return event.level === 'debug' ? state : { ...state, messages: lastOf(state.messages, [event], KEPT_MESSAGES) };
}

function withTask(state: UiState, task: RunningTask): UiState {
  return { ...state, running: new Map(state.running).set(task.id, task) };
}

function withOutput(task: RunningTask, event: Extract<StkEvent, { type: 'task-output' }>): RunningTask {
  const lines = event.lines.slice(-KEPT_OUTPUT_LINES).map(printableLine);
  const announced = event.stream === 'stderr' ? lines.findLast(line => line.startsWith('+ ')) : undefined;
  return {
    ...task,
    lastLines: lastOf(task.lastLines, lines, KEPT_OUTPUT_LINES),
    command: announced?.slice('+ '.length) ?? task.command,
  };
}

function withFinished(state: UiState, event: Extract<StkEvent, { type: 'task-finished' }>): UiState {
  const { group, kind, label, outcome, durationMs, detail } = event;
  const task = state.running.get(event.id);
  const running = new Map(state.running);
  running.delete(event.id);
  const finished: FinishedTask = {
    group,
    kind,
    label,
    outcome,
    durationMs,
    detail,
    doneBytes: task?.doneBytes ?? 0,
    lastLines: outcome === 'failed' ? (task?.lastLines ?? []) : [],
  };
  return {
    ...state,
    running,
    finished: lastOf(state.finished, [finished], KEPT_FINISHED),
    outcomes: { ...state.outcomes, [outcome]: state.outcomes[outcome] + 1 },
  };
}

function lastOf<T>(list: readonly T[], more: readonly T[], keep: number): readonly T[] {
  return [...list, ...more].slice(-keep);
}
