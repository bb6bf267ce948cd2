import { describe, expect, it } from 'vitest';
import { findUser } from './bundle-user.ts';

const FILES = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    'web:x:33:33::/srv:/bin/sh',
    'odd:x:not-a-number:1',
    'short:x',
    'j\xc3\xb6rg:x:40:41::/:/bin/sh',
    'root2:x:0:7::/:/bin/sh',
  ].join('\n'),
  group: ['root:x:0:', 'wheel:x:10:root,other', 'extra:x:50:web', 'web:x:33:web', 'bad:x:99999999999:web'].join('\n'),
};

describe('a user', () => {
  it.each([
    ['', { uid: 0, gid: 0, additionalGids: [10] }],
    ['root', { uid: 0, gid: 0, additionalGids: [10] }],
    ['0', { uid: 0, gid: 0, additionalGids: [10] }],
    ['web', { uid: 33, gid: 33, additionalGids: [50] }],
    ['33', { uid: 33, gid: 33, additionalGids: [50] }],
    ['web:wheel', { uid: 33, gid: 10, additionalGids: [] }],
    ['web:', { uid: 33, gid: 33, additionalGids: [50] }],
    [':wheel', { uid: 0, gid: 10, additionalGids: [] }],
    ['1000', { uid: 1000, gid: 0, additionalGids: [] }],
    ['1000:1001', { uid: 1000, gid: 1001, additionalGids: [] }],
    ['4294967294:4294967294', { uid: 4294967294, gid: 4294967294, additionalGids: [] }],
    ['jörg', { uid: 40, gid: 41, additionalGids: [] }],
  ])('%j', (text, expected) => {
    expect(findUser(text, FILES)).toEqual(expected);
  });

  it.each([
    ['nobody', 'not-found'],
    ['../../etc/passwd', 'not-found'],
    ['odd', 'not-found'],
    ['web:nogroup', 'not-found'],
    ['web:bad', 'not-found'],
    ['a:b:c', 'invalid-input'],
    ['4294967295', 'invalid-input'],
    ['99999999999999999999', 'invalid-input'],
    ['web\n', 'invalid-input'],
    ['web\0', 'invalid-input'],
  ])('%j is refused', (text, code) => {
    expect(() => findUser(text, FILES)).toThrow(expect.objectContaining({ code }));
  });

  it('needs no account files where it is a number', () => {
    const none = { passwd: '', group: '' };
    expect(findUser('', none)).toEqual({ uid: 0, gid: 0, additionalGids: [] });
    expect(findUser('7:8', none)).toEqual({ uid: 7, gid: 8, additionalGids: [] });
    expect(() => findUser('root', none)).toThrow(expect.objectContaining({ code: 'not-found' }));
  });
});
