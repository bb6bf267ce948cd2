import { stat, utimes } from './files.ts';

const DAY_MS = 86_400_000;

/**
 * Notes in a directory's times that it is used, once a day: its time of access says only that somebody listed it. Never throws:
 * where it cannot be written it only looks older than it is.
 */
export async function noteUse(directory: string): Promise<void> {
  const now = new Date();
  try {
    if (now.getTime() - (await stat(directory)).mtimeMs > DAY_MS) await utimes(directory, now, now);
  } catch {
    // It is used all the same.
  }
}
