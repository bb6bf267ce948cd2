import { deflateSync } from 'node:zlib';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scratch } from '../../test/fixtures/squashfs-images.ts';
import { elfFile, goBuildInfo } from '../../test/fixtures/elf-file.ts';
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { readExecutable, readGoBuildInfo, readRustAudit } from './executable-packages.ts';
import {
  jarPackage,
  readJarManifest,
  readPackageJson,
  readPomProperties,
  readPythonMetadata,
} from './language-packages.ts';
import { zipMembers, type ReadAt } from './zip-members.ts';

const reading =
  (bytes: Buffer): ReadAt =>
  async (offset, length) => {
    if (offset < 0 || length < 0 || offset + length > bytes.length) throw new Error('outside');
    return bytes.subarray(offset, offset + length);
  };

describe('metadata of languages', () => {
  it('are read of Python, the head alone', () => {
    const text = 'Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\nLicense: MIT\n\nName: other\n';
    expect(readPythonMetadata(text).packages).toEqual([
      { type: 'pypi', name: 'six', version: '1.16.0', licence: 'MIT' },
    ]);
    expect(readPythonMetadata('Name: six\n').problem).toMatch(/version/);
  });

  it('are read of npm, and directories that only say how they load are passed over', () => {
    const text = JSON.stringify({ name: '@a/b', version: '1.0.0', license: 'ISC' });
    expect(readPackageJson(text).packages).toEqual([{ type: 'npm', name: '@a/b', version: '1.0.0', licence: 'ISC' }]);
    expect(readPackageJson('{"type":"module"}')).toEqual({ packages: [] });
    for (const damaged of ['{', '[', 'null', '{"name":1,"version":2}', '{"name":"../x","version":"1"}']) {
      expect(readPackageJson(damaged)).toMatchObject({ packages: [], problem: /\S/ });
    }
  });

  it('are read of Java, by Maven, by the manifest, by the name', () => {
    expect(readPomProperties('#x\ngroupId=org.a\nartifactId=b\nversion=1\r\n')).toEqual({
      type: 'maven',
      group: 'org.a',
      name: 'b',
      version: '1',
    });
    const manifest = readJarManifest(
      'Bundle-SymbolicName: org.x;single\r\nImplementation-Version: 1.\r\n 2\r\n\r\nX: 1',
    );
    expect(manifest.get('implementation-version')).toBe('1.2');
    expect(jarPackage('opt/x-9.jar', manifest)).toMatchObject({ name: 'x', version: '1.2' });
    expect(jarPackage('opt/commons-io-2.11.0.jar', new Map())).toMatchObject({ name: 'commons-io', version: '2.11.0' });
    expect(jarPackage('opt/app.jar', new Map())).toBeUndefined();
  });
});

describe('an archive', () => {
  it('gives members that are wanted, as python packs them', async () => {
    await using place = await scratch();
    const file = path.join(place.dir, 'a.zip');
    mkdirSync(path.join(place.dir, 'META-INF'));
    writeFileSync(path.join(place.dir, 'META-INF/MANIFEST.MF'), 'Implementation-Version: 7\n'.repeat(50));
    writeFileSync(path.join(place.dir, 'other'), 'x');
    execFileSync('python3', ['-m', 'zipfile', '-c', file, 'META-INF', 'other'], { cwd: place.dir });
    const bytes = readFileSync(file);
    const members = await zipMembers(reading(bytes), bytes.length, name => name.endsWith('MF'));
    expect(members?.map(({ name }) => name)).toEqual(['META-INF/MANIFEST.MF']);
    expect((await members![0]!.read())?.toString()).toContain('Implementation-Version: 7');
  });

  it('that is damaged anywhere is never read outside of itself', async () => {
    await using place = await scratch();
    const file = path.join(place.dir, 'a.zip');
    writeFileSync(path.join(place.dir, 'm'), 'x'.repeat(100));
    execFileSync('python3', ['-m', 'zipfile', '-c', file, 'm'], { cwd: place.dir });
    const good = readFileSync(file);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), async (at, value, length) => {
        const bytes = Buffer.from(good.subarray(0, Math.max(length, 1)));
        if (at < bytes.length) bytes[at] = value;
        for (const member of (await zipMembers(reading(bytes), bytes.length, () => true)) ?? []) await member.read();
      }),
      { numRuns: 300 },
    );
  });
});

describe('a program', () => {
  const modules =
    'path\tx\nmod\texample.org/app\t(devel)\t\ndep\texample.org/lib\tv1.2.3\th1:x=\ndep\told.org/y\tv1\n=>\tnew.org/y\tv2\th1:\n';

  it('of Go tells its modules, those that stand for others instead of them, and its library', async () => {
    const bytes = elfFile({ '.go.buildinfo': goBuildInfo('go1.22.1', modules) });
    const found = await readExecutable(reading(bytes), bytes.length);
    expect(found?.packages.map(({ name, version }) => `${name} ${version}`)).toEqual([
      'stdlib 1.22.1',
      'example.org/app (devel)',
      'example.org/lib v1.2.3',
      'new.org/y v2',
    ]);
  });

  it('of Rust tells the crates that are in it', async () => {
    const packages = [
      { name: 'serde', version: '1.0.1', source: 'crates.io' },
      { name: 'cc', version: '1.0.0', kind: 'build' },
    ];
    const bytes = elfFile({ '.dep-v0': deflateSync(JSON.stringify({ packages })) });
    const found = await readExecutable(reading(bytes), bytes.length);
    expect(found).toEqual({ packages: [{ type: 'cargo', name: 'serde', version: '1.0.1' }] });
  });

  it('that neither made tells nothing', async () => {
    const bytes = readFileSync(process.execPath);
    expect(await readExecutable(reading(bytes), bytes.length)).toBeUndefined();
  });

  it('that is damaged anywhere says nothing or a problem', async () => {
    const good = elfFile({ '.go.buildinfo': goBuildInfo('go1.22.1', modules), '.dep-v0': Buffer.from('junk') });
    expect(readRustAudit(Buffer.from('junk')).problem).toMatch(/\S/);
    expect(readGoBuildInfo(Buffer.from('junk')).problem).toMatch(/\S/);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), async (at, value, length) => {
        const bytes = Buffer.from(good.subarray(0, length));
        if (at < bytes.length) bytes[at] = value;
        await readExecutable(reading(bytes), bytes.length);
      }),
      { numRuns: 300 },
    );
  });
});
