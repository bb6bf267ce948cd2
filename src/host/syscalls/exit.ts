import { nativeFunction } from './native.ts';

const exit = nativeFunction('_exit', 'int', ['int']);

/**
 * Ends this process by _exit(2), whatever its threads wait for in the kernel. Nothing that is buffered is written, and no
 * exit handler runs.
 */
export function exitAtOnce(status: number): never {
  exit.call(status);
  throw new Error('_exit returned');
}
