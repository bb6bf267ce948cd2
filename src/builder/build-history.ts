import path from 'node:path';
import { finished } from 'node:stream/promises';
import type { Emit, StkEvent, TaskOutcome } from '../core/events.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { createWriteStream, mkdir, readFile, readdir, rm } from '../host/files.ts';

/** A piece of work of a build, with what it wrote. */
export interface HistoryTask {
  readonly image: string;
  readonly kind: string;
  readonly label: string;
  readonly outcome: TaskOutcome;
  readonly durationMs: number;
  /** Name of a file in the build's directory; `undefined` where it wrote nothing. */
  readonly log?: string;
}

/** One build that did something. */
export interface HistoryEntry {
  /** Sorts by time. */
  readonly id: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly images: readonly { readonly name: string; readonly outcome: TaskOutcome; readonly digest?: string }[];
  readonly tasks: readonly HistoryTask[];
}

const MOST_BUILDS = 100;
/** Of one task; what comes after it is left out, with a line that says so. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;

/** Writes down what a build does, from its events, in which secrets are hidden already. */
export class HistoryRecorder {
  readonly #home: AbsPath;
  readonly #id: string;
  readonly #startedAt = Date.now();
  readonly #images: HistoryEntry['images'][number][] = [];
  readonly #tasks: HistoryTask[] = [];
  readonly #logs = new Map<string, { readonly name: string; readonly stream: ReturnType<typeof createWriteStream> }>();

  private constructor(home: AbsPath, id: string) {
    this.#home = home;
    this.#id = id;
  }

  /** @param home directory of all builds; a directory for this one is made in it */
  static async open(home: AbsPath): Promise<HistoryRecorder> {
    const time = new Date().toISOString().replace(/[^0-9]/g, '');
    const id = `${time}-${process.pid}`;
    await mkdir(path.join(home, id), { recursive: true, mode: 0o700 });
    return new HistoryRecorder(home, id);
  }

  /** Passes events on, and remembers them. */
  readonly watch =
    (emit: Emit): Emit =>
    event => {
      this.#remember(event);
      emit(event);
    };

  #remember(event: StkEvent): void {
    if (event.type === 'task-output') this.#log(event.id, event.lines);
    else if (event.type === 'image-finished') {
      const { image: name, outcome, digest } = event;
      this.#images.push({ name, outcome, ...(digest === undefined ? {} : { digest }) });
    } else if (event.type === 'task-finished') {
      const { group: image, kind, label, outcome, durationMs } = event;
      const log = this.#logs.get(event.id)?.name;
      this.#tasks.push({ image, kind, label, outcome, durationMs, ...(log === undefined ? {} : { log }) });
    }
  }

  #log(id: string, lines: readonly string[]): void {
    let log = this.#logs.get(id);
    if (!log) {
      const name = `${this.#logs.size + 1}.log`;
      const stream = createWriteStream(joinInside(this.#home, path.join(this.#id, name)), { mode: 0o600 });
      // A full disk ends the log, not the build.
      stream.on('error', () => {});
      this.#logs.set(id, (log = { name, stream }));
    }
    const { stream } = log;
    if (stream.bytesWritten + stream.writableLength > MAX_LOG_BYTES) return;
    stream.write(`${lines.join('\n')}\n`);
  }

  /** Ends the record, and forgets the oldest ones. A build that did nothing leaves none, nor does one that cannot write it. */
  async close(): Promise<void> {
    for (const { stream } of this.#logs.values()) {
      stream.end();
      // One that failed has ended before.
      await finished(stream).catch(() => {});
    }
    await this.#write().catch(() => {});
  }

  async #write(): Promise<void> {
    const directory = joinInside(this.#home, this.#id);
    if (this.#tasks.length === 0) {
      await rm(directory, { recursive: true, force: true });
      return;
    }
    const entry: HistoryEntry = {
      id: this.#id,
      startedAt: new Date(this.#startedAt).toISOString(),
      durationMs: Date.now() - this.#startedAt,
      images: this.#images,
      tasks: this.#tasks,
    };
    await writeFileAtomic(joinInside(directory, 'build.json'), JSON.stringify(entry), { mode: 0o600 });
    const old = (await buildIds(this.#home)).slice(0, -MOST_BUILDS);
    for (const id of old) await rm(joinInside(this.#home, id), { recursive: true, force: true });
  }
}

/** Builds that are remembered, the newest first; what is damaged, or was killed, is left out. */
export async function readHistory(home: AbsPath): Promise<readonly HistoryEntry[]> {
  const entries: HistoryEntry[] = [];
  for (const id of (await buildIds(home)).toReversed()) {
    try {
      const text = await readFile(joinInside(home, path.join(id, 'build.json')), 'utf8');
      const entry = JSON.parse(text) as HistoryEntry;
      if (Array.isArray(entry.images) && Array.isArray(entry.tasks)) entries.push({ ...entry, id });
    } catch {
      continue;
    }
  }
  return entries;
}

/** What a task wrote; `undefined` where it is gone. */
export async function readLog(home: AbsPath, entry: HistoryEntry, task: HistoryTask): Promise<Buffer | undefined> {
  if (task.log === undefined || !/^\d+\.log$/.test(task.log)) return undefined;
  return readFile(joinInside(home, path.join(entry.id, task.log))).catch(() => undefined);
}

async function buildIds(home: AbsPath): Promise<readonly string[]> {
  const names = await readdir(home).catch(() => []);
  return names.filter(name => /^\d{17}-\d+$/.test(name)).toSorted();
}
