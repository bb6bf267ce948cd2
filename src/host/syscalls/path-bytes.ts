import type { StkError } from '../../core/errors.ts';
import { hostBytes, hostText, shownHostText } from '../../core/host-text.ts';
import { syscallFailure } from './failure.ts';

/** Bytes as C wants them; text is a byte string (latin1). A NUL in them is a bug: it would end them early. */
export function nulTerminated(bytes: Buffer | string): Buffer {
  const length = bytes.length;
  const ended = Buffer.alloc(length + 1);
  if (typeof bytes === 'string') ended.write(bytes, 'latin1');
  else bytes.copy(ended);
  if (ended.indexOf(0) !== length) throw new Error('a path or name for the kernel holds a NUL');
  return ended;
}

/** A text of `hostText` as C wants it. */
export function cString(text: string): Buffer {
  return nulTerminated(hostBytes(text));
}

/** The error for a call on a path of any bytes. */
export function failureOn(call: string, path: Buffer, errno: number): StkError {
  return syscallFailure({ call, errno, path: shownHostText(hostText(path)) });
}
