import { StkError, messageOf } from '../../core/errors.ts';
import type { StkEvent } from '../../core/events.ts';
import type { AbsPath } from '../../core/paths.ts';
import { closeSync, createWriteStream, openSync } from '../../host/files.ts';
import { LineWriter } from './line-writer.ts';
import { plainFormatter } from './plain.ts';

/** Receives every event and writes its plain rendering. */
export interface LogFile {
  write(event: StkEvent): void;
  close(): Promise<void>;
}

/**
 * Starts a log file, emptying what was there. Throws `storage` where it cannot be opened.
 * @param onBroken called once if a later write fails; the log then ends there
 */
export function openLogFile(file: AbsPath, onBroken: (error: Error) => void): LogFile {
  const stream = createWriteStream(file, { fd: openForWriting(file) });
  const writer = new LineWriter(stream, onBroken);
  const format = plainFormatter({ color: false, debug: true });
  return {
    write: event => writer.write(format(event)),
    async close() {
      await writer.close();
      await new Promise<void>(resolve => {
        stream.once('close', () => resolve());
        stream.once('error', () => resolve());
        if (stream.closed) resolve();
        stream.end();
      });
    },
  };
}

/** Makes a log file that is empty. Throws as `openLogFile` does. */
export function emptyLogFile(file: AbsPath): void {
  closeSync(openForWriting(file));
}

function openForWriting(file: AbsPath): number {
  try {
    return openSync(file, 'w', 0o644);
  } catch (cause) {
    throw new StkError('storage', `cannot open the log file ${file}: ${messageOf(cause)}`, {
      cause,
      hint: 'name a file in a directory that exists and can be written to',
      facts: { path: file },
    });
  }
}
