import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { openRegularFile } from './open-regular-file.ts';

/** The bytes of a regular file of no more than `maxBytes`, `invalid-input` for a larger one. Throws as `openRegularFile`. */
export async function readSmallFile(file: AbsPath, maxBytes: number): Promise<Buffer> {
  const { file: handle, sizeBytes } = await openRegularFile(file);
  try {
    if (sizeBytes <= maxBytes) return await handle.readFile();
    throw new StkError('invalid-input', `${file} is too large: ${sizeBytes} bytes`, {
      facts: { path: file, sizeBytes },
    });
  } finally {
    await handle.close();
  }
}
