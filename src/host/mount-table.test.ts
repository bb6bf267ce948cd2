import { execa } from 'execa';
import { expect, it } from 'vitest';
import { hasMountOption, mountAt, parseMountTable, readMountTable } from './mount-table.ts';

const TEXT = [
  '22 1 0:20 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw',
  '30 22 0:31 / /mnt/a\\040b rw - tmpfs tmp\\134fs rw',
  '31 30 0:32 / /mnt/a\\040b ro unbindable - fuse.squashfuse_ll squashfuse_ll ro,user_id=0',
  '32 22 0:33 / /mnt/a\\040b/- ro - overlay stk-1 ro',
  'garbage',
  '',
].join('\n');

it('reads targets, types and sources, whatever optional fields stand between', () => {
  expect(parseMountTable(TEXT)).toEqual([
    { target: '/', device: '0:20', type: 'ext4', source: '/dev/root' },
    { target: '/mnt/a b', device: '0:31', type: 'tmpfs', source: 'tmp\\fs' },
    { target: '/mnt/a b', device: '0:32', type: 'fuse.squashfuse_ll', source: 'squashfuse_ll' },
    { target: '/mnt/a b/-', device: '0:33', type: 'overlay', source: 'stk-1' },
  ]);
});

it('finds the uppermost mount at a place', () => {
  const table = parseMountTable(TEXT);
  expect(mountAt(table, '/mnt/a b')?.type).toBe('fuse.squashfuse_ll');
  expect(mountAt(table, '/mnt')).toBeUndefined();
});

it.each(['/', '/proc/self/status', '/dev/null'])('knows the options of the mount that %s lies on', async path => {
  const { stdout } = await execa('findmnt', ['-n', '-o', 'VFS-OPTIONS', '-T', path]);
  for (const option of ['ro', 'rw', 'noexec', 'nosuid', 'nodev', 'noatime']) {
    expect([option, await hasMountOption(path, option)]).toEqual([option, stdout.split(',').includes(option)]);
  }
});

it('knows the root of this machine', async () => {
  expect(mountAt(await readMountTable(), '/')).toBeDefined();
});
