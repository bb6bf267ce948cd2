import { constants, mkdir, open } from './files.ts';
import { errnoOf, isStkError } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from './atomic-write.ts';
import { readSmallFile } from './read-small-file.ts';

/** Lines of one file; beyond them the older half is forgotten. */
const MAX_LINES = 1024;
const MAX_FILE_BYTES = 1 << 20;
const FILE_MODE = 0o644;

/**
 * A small memory that many processes add to without waiting for each other: lines `KEY TEXT` in 256 files by the first two
 * digits of the key, which is 64 hex digits. Lines are only ever added, by one write(2) each, and what is no whole line is
 * not seen. It may forget: an entry is worth what it saves, never more.
 */
export class LineRecord {
  readonly #directory: AbsPath;

  constructor(directory: AbsPath) {
    this.#directory = directory;
  }

  /** The file that has a key's line, or would have it. */
  file(key: string): AbsPath {
    return joinInside(this.#directory, key.slice(0, 2));
  }

  /** The text beside a key. */
  async find(key: string): Promise<string | undefined> {
    const lines = await this.#lines(this.file(key));
    // The last piece has no end: nothing, or a line that is torn.
    const line = lines.slice(0, -1).findLast(text => text.startsWith(`${key} `));
    return line?.slice(key.length + 1);
  }

  /** @param text without line ends. Where nothing can be written, nothing is remembered. */
  async add(key: string, text: string): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o755 });
      const file = this.file(key);
      const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
      const handle = await open(file, flags, FILE_MODE);
      try {
        // What a crash left without an end is not to swallow this line.
        await handle.write(`\n${key} ${text}\n`);
      } finally {
        await handle.close();
      }
      await this.#forgetOldest(file);
    } catch (error) {
      // A read-only or full disk, or a sandbox.
      if (isStkError(error) || errnoOf(error) === undefined) throw error;
    }
  }

  async #lines(file: AbsPath): Promise<readonly string[]> {
    try {
      return (await readSmallFile(file, MAX_FILE_BYTES)).toString('latin1').split('\n');
    } catch (error) {
      if (isStkError(error, 'invalid-input') || ['ENOENT', 'EACCES', 'ELOOP'].includes(errnoOf(error) ?? '')) return [];
      throw error;
    }
  }

  /** A line that another process adds meanwhile is forgotten, too. */
  async #forgetOldest(file: AbsPath): Promise<void> {
    const lines = (await this.#lines(file)).filter(line => line !== '');
    if (lines.length <= MAX_LINES) return;
    await writeFileAtomic(file, `${lines.slice(-MAX_LINES / 2).join('\n')}\n`, { mode: FILE_MODE });
  }
}
