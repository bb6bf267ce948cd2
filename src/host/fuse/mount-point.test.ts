import { expect, it } from 'vitest';
import { parseMountInfo } from './mount-point.ts';

it('reads the mount table, escapes and all', () => {
  const text = `42 27 0:39 / /a\\040b\\134c ro,nosuid - fuse.stk stk ro,user_id=0
27 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
nonsense

`;
  expect(parseMountInfo(text)).toEqual([
    { target: '/a b\\c', device: '0:39', fsType: 'fuse.stk', source: 'stk' },
    { target: '/', device: '253:0', fsType: 'ext4', source: '/dev/vda' },
  ]);
});
