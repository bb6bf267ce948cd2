import type { Digest } from './digest.ts';

/** What work is being done: decides how a renderer words it. */
export type TaskKind = 'resolve' | 'pull' | 'push' | 'convert' | 'fetch' | 'run' | 'pack' | 'copy' | 'merge' | 'check';
export type TaskOutcome = 'done' | 'cached' | 'failed' | 'canceled';

/**
 * Everything that producers say about running work: serialisable, ids and strings only.
 * A task belongs to a group (an image of the recipe, or a reference) and lives from `task-started` to `task-finished`.
 * Times are milliseconds since the Unix epoch.
 */
export type StkEvent =
  | { readonly type: 'build-started'; readonly images: readonly string[]; readonly at: number }
  | { readonly type: 'image-started'; readonly image: string; readonly at: number }
  | {
      readonly type: 'image-finished';
      readonly image: string;
      readonly outcome: TaskOutcome;
      readonly tags: readonly string[];
      readonly digest?: Digest;
      readonly layers: number;
      readonly sizeBytes: number;
      readonly durationMs: number;
      readonly at: number;
    }
  | {
      readonly type: 'task-started';
      readonly id: string;
      readonly group: string;
      readonly kind: TaskKind;
      readonly label: string;
      readonly at: number;
    }
  | {
      readonly type: 'task-progress';
      readonly id: string;
      readonly doneBytes: number;
      readonly totalBytes?: number;
      readonly at: number;
    }
  | {
      readonly type: 'task-output';
      readonly id: string;
      readonly group: string;
      readonly stream: 'stdout' | 'stderr';
      /** Whole lines without their terminator. */
      readonly lines: readonly string[];
      readonly at: number;
    }
  | {
      readonly type: 'task-finished';
      readonly id: string;
      readonly group: string;
      readonly kind: TaskKind;
      readonly label: string;
      readonly outcome: TaskOutcome;
      readonly durationMs: number;
      readonly detail?: string;
      readonly at: number;
    }
  | {
      readonly type: 'message';
      readonly level: 'debug' | 'info' | 'warning' | 'error';
      readonly group?: string;
      readonly text: string;
      readonly at: number;
    };

/** Receives events in order; must not throw and must not block. */
export type Emit = (event: StkEvent) => void;

export const silent: Emit = () => {};

let nextTask = 0;

/** A running task; `finish` says how it ended, at most once. */
export interface TaskHandle {
  readonly id: string;
  progress(doneBytes: number, totalBytes?: number): void;
  output(stream: 'stdout' | 'stderr', lines: readonly string[]): void;
  finish(outcome: TaskOutcome, detail?: string): void;
}

export function startTask(emit: Emit, group: string, kind: TaskKind, label: string): TaskHandle {
  const id = `${kind}-${++nextTask}`;
  const startedAt = Date.now();
  let finished = false;
  emit({ type: 'task-started', id, group, kind, label, at: startedAt });
  return {
    id,
    progress(doneBytes, totalBytes) {
      emit({
        type: 'task-progress',
        id,
        doneBytes,
        ...(totalBytes === undefined ? {} : { totalBytes }),
        at: Date.now(),
      });
    },
    output(stream, lines) {
      if (lines.length > 0) emit({ type: 'task-output', id, group, stream, lines, at: Date.now() });
    },
    finish(outcome, detail) {
      if (finished) return;
      finished = true;
      const at = Date.now();
      const durationMs = at - startedAt;
      const rest = detail === undefined ? {} : { detail };
      emit({ type: 'task-finished', id, group, kind, label, outcome, durationMs, ...rest, at });
    },
  };
}

/** Runs `work` as a task: finished as `done`, `canceled` (the signal fired) or `failed`. The work may finish it earlier. */
export async function withTask<T>(
  emit: Emit,
  task: { readonly group: string; readonly kind: TaskKind; readonly label: string },
  work: (handle: TaskHandle) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const handle = startTask(emit, task.group, task.kind, task.label);
  try {
    const result = await work(handle);
    handle.finish('done');
    return result;
  } catch (error) {
    handle.finish(signal?.aborted ? 'canceled' : 'failed');
    throw error;
  }
}

/** Shorthand for a `message` event. */
export function say(emit: Emit, level: 'debug' | 'info' | 'warning' | 'error', text: string, group?: string): void {
  emit({ type: 'message', level, text, ...(group === undefined ? {} : { group }), at: Date.now() });
}
