import { expect, it } from 'vitest';
import { formatTable } from './table.ts';

const columns = [
  { heading: 'IMAGE', shrink: 'end' },
  { heading: 'SIZE', align: 'right' },
  { heading: 'DIGEST', shrink: 'start' },
] as const;

it('aligns columns by cells', () => {
  const rows = [
    ['app', '57.3 MB', 'sha256:aa'],
    ['日本語', '1 B', ''],
  ];
  expect(formatTable(columns, rows)).toEqual([
    'IMAGE      SIZE  DIGEST',
    'app     57.3 MB  sha256:aa',
    '日本語      1 B',
  ]);
});

it('has no heading line where no heading says anything', () => {
  expect(formatTable([{ heading: '' }, { heading: '' }], [['a', 'b']])).toEqual(['a  b']);
});

it('is a heading alone without rows', () => {
  expect(formatTable(columns, [])).toEqual(['IMAGE  SIZE  DIGEST']);
});

it('cuts what may be cut, the widest first', () => {
  const rows = [['a-long-image-name', '57.3 MB', 'sha256:0123456789abcdef']];
  expect(formatTable(columns, rows, 35).join('\n')).toMatchInlineSnapshot(`
    "IMAGE            SIZE  DIGEST
    a-long-imag…  57.3 MB  …56789abcdef"
  `);
});

it('leaves a terminal that is too narrow to the terminal', () => {
  expect(formatTable([{ heading: 'A' }], [['abcdefghijkl']], 4)).toEqual(['A', 'abcdefghijkl']);
});

it('makes cells harmless and one line each', () => {
  expect(formatTable([{ heading: 'A' }, { heading: 'B' }], [['\u001b[2Jx\ny\tz', 'b']])).toEqual([
    'A      B',
    'x y z  b',
  ]);
});

it('takes rows that are too short', () => {
  expect(formatTable(columns, [['app']])).toEqual(['IMAGE  SIZE  DIGEST', 'app']);
});
