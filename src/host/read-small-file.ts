import { constants, open } from 'node:fs/promises';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';

/**
 * The bytes of a regular file of no more than `maxBytes`. Whatever else lies there, a pipe that nobody writes to among it,
 * is `invalid-input`; errors of the system pass as they are.
 */
export async function readSmallFile(file: AbsPath, maxBytes: number): Promise<Buffer> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = await handle.stat();
    const facts = { path: file, sizeBytes: stats.size };
    if (!stats.isFile()) throw new StkError('invalid-input', `${file} is not a regular file`, { facts });
    if (stats.size > maxBytes) {
      throw new StkError('invalid-input', `${file} is too large: ${stats.size} bytes`, { facts });
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
