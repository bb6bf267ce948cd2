import os from 'node:os';
import { describe, expect, it } from 'vitest';
import { failedWith, syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const { EBADF, EINVAL, ENOENT } = os.constants.errno;
const getpgid = nativeFunction('getpgid', 'int', ['int']);
const close = nativeFunction('close', 'int', ['int']);
const umount2 = nativeFunction('umount2', 'int', ['str', 'int']);

describe('a function of the C library', () => {
  it('answers, at once and from another thread', async () => {
    const expected = { value: getpgid.call(process.pid).value, errno: 0 };
    expect(expected.value).toBeGreaterThan(0);
    expect(await getpgid.wait(0)).toEqual(expected);
  });

  it('tells why it failed, each call for itself', async () => {
    const waiting = [close.wait(-1), umount2.wait('', 0), umount2.wait('/', -1), close.wait(-1)];
    expect(close.call(-1)).toEqual({ value: -1, errno: EBADF });
    const failed = await Promise.all(waiting);
    expect(failed.map(({ errno }) => errno)).toEqual([EBADF, ENOENT, EINVAL, EBADF]);
  });

  it('is looked for when it is called first', () => {
    const absent = nativeFunction('stk_has_no_such_function', 'int', []);
    expect(() => absent.call()).toThrow(/stk_has_no_such_function/);
  });
});

describe('a system call that failed', () => {
  it.each([
    ['EPERM', 'missing-capability'],
    ['ENOSYS', 'missing-capability'],
    ['ENOSPC', 'storage'],
    ['EBUSY', 'tool-failed'],
    ['EINVAL', 'tool-failed'],
  ] as const)('with %s is %s', (name, code) => {
    const errno = os.constants.errno[name];
    const error = syscallFailure({ call: 'mount', errno, path: '/x', attempt: 'mount' });
    expect(error).toMatchObject({ code, facts: { call: 'mount', errno: name, path: '/x' } });
    expect(error.message).toMatch(new RegExp(`^mount /x: .+ \\(${name}\\)$`));
    expect([failedWith(error, 'EIO', name), failedWith(error, 'EIO'), failedWith(new Error(name), name)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
