import { expect, it } from 'vitest';
import { modeWithoutAcl, parseAclText, parseAclXattr } from './posix-acl.ts';

const NOBODY = 0xff_ff_ff_ff;

function xattr(...entries: readonly (readonly [tag: number, permissions: number, id?: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id = NOBODY]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}

const same = { owner: 6, group: 4, mask: 7, other: 4, extended: true };

it('the kernel’s form and both text forms say the same', () => {
  expect(parseAclXattr(xattr([1, 6], [2, 7, 1001], [4, 4], [0x10, 7], [0x20, 4]))).toEqual(same);
  expect(parseAclText('user::rw-,user:lisa:rwx:1001,group::r--,mask::rwx,other::r--')).toEqual(same);
  expect(parseAclText('# file: f\nuser::rw-\nuser:1001:rwx #effective:rwx\ngroup::r--\nmask:rwx\nother:r--\n')).toEqual(
    same,
  );
  expect(parseAclText('u::rw-,u:lisa:rwx,g::r--,m::rwx,o::r--')).toEqual(same);
});

it('one that says no more than permission bits is told apart', () => {
  expect(parseAclXattr(xattr([1, 6], [4, 5], [0x20, 1]))).toEqual({ owner: 6, group: 5, other: 1, extended: false });
  expect(parseAclText('user::rw-,group::r-x,other::--x')).toEqual({ owner: 6, group: 5, other: 1, extended: false });
  expect(parseAclText('group:7:r--').extended).toBe(true);
});

it.each([
  ['no bytes', Buffer.alloc(0)],
  ['another version', Buffer.from([1, 0, 0, 0])],
  ['half an entry', xattr([1, 6]).subarray(0, 9)],
])('%s is no ACL', (_, bytes) => expect(parseAclXattr(bytes)).toBeUndefined());

it.each(['', ',,,', 'user', 'user::', 'group::q', 'default:user::rwx', ':::', '\0'])('%j says nothing', text =>
  expect(parseAclText(text)).toEqual({ extended: false }),
);

it.each([
  ['the mask’s bits become the owning group’s', 0o674, { owner: 6, group: 4, mask: 7, other: 4 }, 0o644],
  ['what the mask took from the group stays taken', 0o644, { owner: 6, group: 7, mask: 4, other: 4 }, 0o644],
  ['a group without rights has none', 0o2770, { owner: 7, group: 0, mask: 7, other: 0 }, 0o2700],
  ['set-id and sticky bits stay', 0o7775, { owner: 7, group: 5, mask: 7, other: 5 }, 0o7755],
  ['without a mask the group’s own count', 0o640, { owner: 6, group: 4, other: 0 }, 0o640],
  ['what is not said stays', 0o654, {}, 0o654],
])('%s', (_, mode, acl, expected) => expect(modeWithoutAcl(mode, { ...acl, extended: true })).toBe(expected));
