import type { JsonValue } from '../core/canonical-json.ts';
import type { AbsPath } from '../core/paths.ts';
import { closeSync, openSync, writeSync } from '../host/files.ts';

/** Lines that one server writes at most: a damaged disk must not fill another. */
const MAX_LINES = 10_000;

/** Appends JSON lines to a file; what cannot be written is lost, as there is nobody to tell. */
export interface ServerLog extends AsyncDisposable {
  /** Writes an entry with the time in front. With a `key`, only the first of its kind. */
  write(entry: Readonly<Record<string, JsonValue>>, key?: string): void;
}

export function openServerLog(file: AbsPath): ServerLog {
  const fd = openSync(file, 'a', 0o600);
  const seen = new Set<string>();
  let lines = 0;
  let open = true;
  return {
    write(entry, key) {
      if (!open || lines >= MAX_LINES || (key !== undefined && seen.has(key))) return;
      if (key !== undefined) seen.add(key);
      lines++;
      const last = lines === MAX_LINES ? { logEnds: true } : {};
      try {
        writeSync(fd, `${JSON.stringify({ time: new Date().toISOString(), ...entry, ...last })}\n`);
      } catch {
        // The disk is full, or gone.
      }
    },
    async [Symbol.asyncDispose]() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
