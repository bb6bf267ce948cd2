import { constants } from '../files.ts';
import { syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const read = nativeFunction('read', 'long', ['int', 'void *', 'ulong']);
const fcntl = nativeFunction('fcntl', 'int', ['int', 'int', 'int']);
/** fcntl.h, the same on every architecture. */
const F_GETFL = 3;
const F_SETFL = 4;

/** read(2) of a file that does not block, without an exception for its having nothing: `errno` is that of EAGAIN then. */
export function readNow(fd: number, buffer: Buffer): { readonly length: number; readonly errno: number } {
  const { value, errno } = read.call(fd, buffer, buffer.length);
  return { length: Math.max(value, 0), errno };
}

/** Has an open file, for everybody who shares it, answer with EAGAIN instead of waiting. */
export function setNonBlocking(fd: number): void {
  const { value, errno } = fcntl.call(fd, F_GETFL, 0);
  if (value < 0) throw syscallFailure({ call: 'fcntl', errno });
  const set = fcntl.call(fd, F_SETFL, value | constants.O_NONBLOCK);
  if (set.value < 0) throw syscallFailure({ call: 'fcntl', errno: set.errno });
}
