import os from 'node:os';
import { syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const flock = nativeFunction('flock', 'int', ['int', 'int']);

/** sys/file.h, the same on every architecture. */
const LOCK = { shared: 1, exclusive: 2 } as const;
const LOCK_NB = 4;
const { EWOULDBLOCK, EINTR } = os.constants.errno;

/**
 * Takes a flock(2) lock on an open file if nobody else holds it: `false` where somebody does. It belongs to the open file
 * description: closing its last descriptor releases it.
 */
export function tryFlock(fd: number, mode: keyof typeof LOCK): boolean {
  for (;;) {
    const { value, errno } = flock.call(fd, LOCK[mode] | LOCK_NB);
    if (value === 0) return true;
    if (errno === EWOULDBLOCK) return false;
    if (errno !== EINTR) throw syscallFailure({ call: 'flock', errno, attempt: 'lock a file' });
  }
}
