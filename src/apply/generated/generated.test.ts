import { execa } from 'execa';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import nodePath from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergePath, outcomeText, type FakeMerge, type TreeFiles } from '../../../test/rig/merge-versions.ts';
import { generated } from './generated.ts';
import { logs } from '../text/logs.ts';

async function merge(path: string, problem: FakeMerge): Promise<string> {
  return outcomeText(await mergePath(generated, path, problem));
}

function differing(path: string, more: TreeFiles = {}): FakeMerge {
  return { ancestor: more, sides: { ssl: { ...more, [path]: 'one' }, python3: { ...more, [path]: 'two' } } };
}

const CERTIFICATES = await Promise.all(['a', 'b', 'c', 'd'].map(makeCertificate));
const [A, B, C, D] = CERTIFICATES as [string, string, string, string];

async function makeCertificate(name: string): Promise<string> {
  const { stdout } = await execa(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      '/dev/null',
    ],
    { stripFinalNewline: false },
  );
  return stdout;
}

describe('bundles of certificates', () => {
  const PATH = 'etc/ssl/certs/ca-certificates.crt';
  const bundle = (ancestor: string, one: string | undefined, two: string) =>
    merge(PATH, { ancestor: { [PATH]: ancestor }, sides: { ssl: { [PATH]: one }, python3: { [PATH]: two } } });

  it('are united, without what one side took out', async () => {
    expect(await bundle(A + B, A + B + C, B + D)).toBe(B + C + D);
  });

  it('know a certificate however its lines end, and keep what is said of it', async () => {
    const dos = C.replaceAll('\n', '\r\n');
    expect(await bundle(A, `${A}# see\n${C}`, A + dos + D)).toBe(`${A}# see\n${C}${D}`);
  });

  it('are readable to OpenSSL', async () => {
    const merged = await bundle(A + B, A + B + C, A + B + D.trimEnd());
    const directory = await mkdtemp(nodePath.join(os.tmpdir(), 'stk-pem-'));
    const file = nodePath.join(directory, 'bundle');
    await writeFile(file, merged);
    const { stdout } = await execa('openssl', ['storeutl', '-certs', '-noout', file]);
    await rm(directory, { recursive: true });
    expect(stdout).toContain('Total found: 4');
  });

  it.each([
    ['cut', A + B.slice(0, 200), /of ssl: a certificate is cut off/],
    ['no base64', A + B.replace(/\n.{5}/, '\n!!!!!'), /of ssl: a certificate is cut off or damaged/],
    ['a key', `${A}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`, /of ssl: it holds a private key/],
    ['deleted', undefined, /ssl deleted/],
  ])('are a conflict where one is %s', async (_what, one, expected) => {
    expect(await bundle(A, one, A + C)).toMatch(expected);
  });

  it('ends soon on senseless input', async () => {
    const begin = '-----BEGIN CERTIFICATE-----\n';
    expect(await bundle(A, begin.repeat(100_000), A + C)).toMatch(/^conflict/);
    expect(await bundle(A, begin + 'A'.repeat(5_000_000), A + C)).toMatch(/^conflict/);
  });
});

describe('byte code of Python', () => {
  const PYC = 'usr/lib/python3/m/__pycache__/x.cpython-311.pyc';
  const PY = 'usr/lib/python3/m/x.py';
  const compiled = (mtime: number, size: number, flags = 0, code = '') => {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(flags, 4);
    header.writeUInt32LE(mtime, 8);
    header.writeUInt32LE(size, 12);
    return Buffer.concat([header, Buffer.from(code)]);
  };
  const side = (code: string, mtime: number, source: string, flags = 0): TreeFiles => ({
    [PY]: { content: source, mtime },
    [PYC]: compiled(mtime, source.length, flags, code),
  });

  it.each<[string, TreeFiles, TreeFiles, TreeFiles, string]>([
    ['that fits the source is taken from the last side', {}, side('1', 7, 'pass'), side('2', 7, 'pass'), 'take 1'],
    ['fits the source that is seen', {}, side('1', 7, 'pass'), side('2', 8, 'pass'), 'take 1'],
    [
      'that does not fit is passed over',
      {},
      side('1', 7, 'pass'),
      { ...side('2', 7, 'pass'), [PYC]: compiled(6, 4, 0, '2') },
      'take 0',
    ],
    ['of different sources is dropped', {}, side('1', 7, 'pass'), side('2', 7, 'fail'), 'drop'],
    ['without a source is dropped', {}, { [PYC]: compiled(1, 1) }, { [PYC]: compiled(2, 2) }, 'drop'],
    [
      'that is cut is dropped',
      {},
      { ...side('1', 7, 'pass'), [PYC]: 'x' },
      { ...side('2', 7, 'pass'), [PYC]: 'y' },
      'drop',
    ],
    [
      'whose source one side deleted is dropped',
      { [PY]: { content: 'pass', mtime: 7 } },
      { [PYC]: compiled(7, 4, 0, '1') },
      side('2', 7, 'pass'),
      'drop',
    ],
    [
      'of the source of the base is kept',
      { [PY]: { content: 'pass', mtime: 7 } },
      side('1', 7, 'pass'),
      side('2', 7, 'pass'),
      'take 1',
    ],
    ['that is known by a hash is taken', {}, side('1', 7, 'pass', 1), side('2', 8, 'pass', 3), 'take 1'],
  ])('%s', async (_what, ancestor, one, two, expected) => {
    expect(await merge(PYC, { ancestor, sides: { one, two } })).toBe(expected);
  });

  it('is claimed in its directory alone', () => {
    expect(generated.claims('usr/lib/__pycache__/a.cpython-311.opt-1.pyc')).toBe(true);
    expect(generated.claims('__pycache__/a.cpython-311.pyc')).toBe(true);
    expect(generated.claims('usr/lib/a.pyc')).toBe(false);
  });
});

describe('generated files', () => {
  it.each([
    'var/cache/ldconfig/aux-cache',
    'var/cache/fontconfig/x-le64.cache-8',
    'usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache',
    'usr/lib64/gconv/gconv-modules.cache',
    'usr/share/icons/hicolor/icon-theme.cache',
  ])('%s is dropped', async path => {
    expect(generated.claims(path)).toBe(true);
    expect(await merge(path, differing(path))).toBe('drop');
  });

  it.each([
    ['usr/share/mime/mime.cache', 'usr/bin/update-mime-database', '/usr/bin/update-mime-database /usr/share/mime'],
    ['usr/share/mime/text/x-foo.xml', 'usr/bin/update-mime-database', '/usr/bin/update-mime-database /usr/share/mime'],
    [
      'usr/share/applications/mimeinfo.cache',
      'usr/bin/update-desktop-database',
      '/usr/bin/update-desktop-database /usr/share/applications',
    ],
    [
      'usr/share/glib-2.0/schemas/gschemas.compiled',
      'usr/lib/aarch64-linux-gnu/glib-2.0/glib-compile-schemas',
      '/usr/lib/aarch64-linux-gnu/glib-2.0/glib-compile-schemas /usr/share/glib-2.0/schemas',
    ],
    [
      'usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/2.10.0/loaders.cache',
      'usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders',
      '/usr/lib/x86_64-linux-gnu/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders --update-cache',
    ],
    [
      'usr/lib64/gdk-pixbuf-2.0/2.10.0/loaders.cache',
      'usr/bin/gdk-pixbuf-query-loaders-64',
      '/usr/bin/gdk-pixbuf-query-loaders-64 --update-cache',
    ],
    [
      'usr/lib/x86_64-linux-gnu/gio/modules/giomodule.cache',
      'usr/lib/x86_64-linux-gnu/glib-2.0/gio-querymodules',
      '/usr/lib/x86_64-linux-gnu/glib-2.0/gio-querymodules /usr/lib/x86_64-linux-gnu/gio/modules',
    ],
    ['usr/lib/locale/locale-archive', 'usr/sbin/locale-gen', '/usr/sbin/locale-gen'],
    ['usr/share/info/dir', 'usr/sbin/update-info-dir', '/usr/sbin/update-info-dir'],
    ['usr/lib/modules/6.1.0/modules.dep.bin', 'usr/sbin/depmod', '/usr/sbin/depmod -a 6.1.0'],
    ['usr/lib/udev/hwdb.bin', 'usr/bin/systemd-hwdb', '/usr/bin/systemd-hwdb --usr update'],
    ['etc/pki/ca-trust/extracted/java/cacerts', 'usr/bin/update-ca-trust', '/usr/bin/update-ca-trust'],
    ['etc/ld.so.cache', 'usr/sbin/ldconfig', '/usr/sbin/ldconfig'],
  ])('%s is made anew by %s', async (path, tool, command) => {
    expect(generated.claims(path)).toBe(true);
    expect(await merge(path, differing(path, { [tool]: '#!' }))).toBe(`regenerate ${command}`);
    expect(await merge(path, differing(path))).toMatch(
      /^conflict: .* has to be made anew by \S+, which the image does not have$/,
    );
  });

  it('does not count on a program that one side deleted, and does on one that a side brings', async () => {
    const path = 'usr/share/info/dir';
    const tool = 'usr/sbin/update-info-dir';
    const lost = differing(path, { [tool]: '#!' });
    expect(await merge(path, { ...lost, sides: { ...lost.sides, third: {} } })).toMatch(/^conflict/);
    const brought = differing(path);
    expect(await merge(path, { ...brought, sides: { ...brought.sides, third: { [tool]: '#!' } } })).toMatch(
      /^regenerate/,
    );
  });

  it('is a conflict where a recipe asks to regenerate what nothing makes', async () => {
    expect(await merge('srv/data', differing('srv/data'))).toBe(
      'conflict: no program is known that makes /srv/data anew',
    );
  });

  it('leaves to others what is not generated', () => {
    for (const path of [
      'usr/share/mime/packages/freedesktop.org.xml',
      'etc/ssl/certs/a.pem',
      'etc/ld.so.conf',
      'usr/share/icons/hicolor/index.theme',
    ]) {
      expect(generated.claims(path) || logs.claims(path)).toBe(false);
    }
  });
});
