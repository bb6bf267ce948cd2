import { StkError } from '../core/errors.ts';
import { constants, open, stat, type FileHandle } from './files.ts';

const PIECE_BYTES = 1 << 20;

/** A regular file that is open for reading, and its length when it was opened. */
export interface RegularFile {
  readonly file: FileHandle;
  readonly sizeBytes: number;
}

/**
 * Opens a regular file for reading, through links if need be; the caller closes it. Whatever else lies there (a pipe that
 * nobody writes to, a device that never ends, a directory) is `invalid-input` and is not waited for; a device is not even
 * opened, since that alone can have effects. Errors of the system pass as they are.
 */
export async function openRegularFile(path: string): Promise<RegularFile> {
  assertRegular(path, await stat(path));
  // Between the two it may have been replaced by a pipe, whose opening would wait for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    assertRegular(path, stats);
    return { file, sizeBytes: stats.size };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The bytes of a regular file. Throws as `openRegularFile` does. */
export async function* readRegularFile(path: string): AsyncGenerator<Buffer, void> {
  const { file } = await openRegularFile(path);
  try {
    yield* file.createReadStream({ autoClose: false, highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>;
  } finally {
    await file.close();
  }
}

function assertRegular(
  path: string,
  stats: { isFile(): boolean; isDirectory(): boolean; readonly size: number },
): void {
  if (stats.isFile()) return;
  const what = stats.isDirectory() ? 'a directory' : 'a device, pipe or socket';
  throw new StkError('invalid-input', `${path} is ${what}, not a regular file`, { facts: { path } });
}
