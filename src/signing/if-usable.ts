import { isStkError } from '../core/errors.ts';

/**
 * What lies beside an image, or `undefined` where it is absent or broken: whoever may add something broken there must not
 * hide by that what is good. Errors of the world pass.
 */
export async function ifUsable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isStkError(error, 'not-found', 'invalid-input', 'integrity', 'unsupported')) return undefined;
    throw error;
  }
}
