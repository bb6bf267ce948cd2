import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readApkInstalled, readDpkgStatus, readOsRelease, readRpmPackages } from './system-packages.ts';

const stanza = (name: string, more = '') =>
  `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n${more}\n`;

describe('the database of dpkg', () => {
  it('tells packages whose files are there, with what they were built from', () => {
    const text = [
      stanza('libssl3', 'Source: openssl (3-1)\n'),
      stanza('gone').replace('install ok installed', 'deinstall ok config-files'),
      stanza('half').replace('ok installed', 'ok half-installed'),
    ].join('');
    const half = { type: 'deb', name: 'half', version: '1:2-3', architecture: 'amd64' };
    expect(readDpkgStatus(text)).toEqual({
      packages: [
        { ...half, name: 'libssl3', source: { name: 'openssl', version: '3-1' } },
        { ...half, source: { name: 'half', version: '1:2-3' } },
      ],
    });
  });

  it.each([
    ['a stanza that is none', `${stanza('a')}nonsense\n\n${stanza('b')}`],
    ['a package without a version', `${stanza('a')}Package: x\nStatus: install ok installed\n\n${stanza('b')}`],
    ['a name that leads elsewhere', `${stanza('a')}${stanza('../x')}${stanza('b')}`],
    ['an end that is cut off', `${stanza('a')}${stanza('b')}Package: c`],
    ['NUL bytes', `${stanza('a')}\0\0\n\n${stanza('b')}`],
  ])('with %s still tells the others, and what is wrong', (_, text) => {
    const { packages, problem } = readDpkgStatus(text);
    expect(packages.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(problem).toMatch(/\S/);
  });
});

describe('the database of apk', () => {
  const record = 'C:Q1x=\nP:musl\nV:1.2-r0\nA:x86_64\no:musl-src\nL:MIT\nF:lib\nR:libc.so\n\n';

  it('tells packages with origin and licence', () => {
    expect(readApkInstalled(record)).toEqual({
      packages: [
        {
          type: 'apk',
          name: 'musl',
          version: '1.2-r0',
          architecture: 'x86_64',
          source: { name: 'musl-src', version: '1.2-r0' },
          licence: 'MIT',
        },
      ],
    });
  });

  it('that is damaged tells the records that are whole', () => {
    const { packages, problem } = readApkInstalled(`${record}P:cut`);
    expect(packages.map(({ name }) => name)).toEqual(['musl']);
    expect(problem).toBe('it is cut off');
  });
});

it('os-release is read as a shell would', () => {
  const text = 'PRETTY_NAME="A \\"B\\""\nID=debian\n#ID=x\nVERSION_ID=\'12\'\nODD';
  expect(readOsRelease(text).release).toEqual({ id: 'debian', version: '12', title: 'A "B"' });
});

it('whatever a database holds, it is a problem at most', () => {
  const pieces = fc.constantFrom(
    stanza('a'),
    'Package: ',
    '\n',
    '\0',
    'P:a\nV:1\n\n',
    'Status: x\n',
    ' x',
    ':',
    'ID="',
  );
  const texts = fc.oneof(
    fc.array(pieces, { maxLength: 12 }).map(parts => parts.join('')),
    fc.string(),
  );
  fc.assert(
    fc.property(texts, fc.uint8Array({ maxLength: 2000 }), (text, bytes) => {
      for (const read of [readDpkgStatus, readApkInstalled, readOsRelease]) read(text);
      readRpmPackages(Buffer.concat([Buffer.from('SQLite format 3\0'), bytes]));
      expect(readRpmPackages(Buffer.from(bytes)).problem).toMatch(/\S/);
    }),
    { numRuns: 300 },
  );
});
