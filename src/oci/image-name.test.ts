import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { formatImageName, nameIn, parseImageName, referenceOf, type ImageName } from './image-name.ts';
import { ImageNameError, showReference } from './image-name-error.ts';
import { connectionHost, parseRegistryHost, parseRegistryReference } from './reference.ts';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}` as Digest;

describe('references', () => {
  it.each([
    ['docker://debian:bookworm', 'docker.io', 'library/debian', 'bookworm', undefined],
    ['docker://debian', 'docker.io', 'library/debian', undefined, undefined],
    ['docker://docker.io/debian', 'docker.io', 'library/debian', undefined, undefined],
    ['docker://index.docker.io/a/b', 'docker.io', 'a/b', undefined, undefined],
    ['docker://user/app', 'docker.io', 'user/app', undefined, undefined],
    ['docker://localhost/app:1', 'localhost', 'app', '1', undefined],
    ['docker://localhost:5000/a/b-c_d__e.f:V1.0_x', 'localhost:5000', 'a/b-c_d__e.f', 'V1.0_x', undefined],
    ['docker://[::1]:5000/a', '[::1]:5000', 'a', undefined, undefined],
    [`docker://h.example/a@sha256:${HEX}`, 'h.example', 'a', undefined, `sha256:${HEX}`],
    [`docker://h.example/a:t@sha256:${HEX}`, 'h.example', 'a', 't', `sha256:${HEX}`],
  ])('%s', (text, host, repository, tag, digest) => {
    const parsed = parseImageName(text);
    expect({ tag: undefined, digest: undefined, ...parsed }).toEqual({ kind: 'docker', host, repository, tag, digest });
    expect(referenceOf(parsed)).toBe(digest ?? tag ?? 'latest');
    expect(parseImageName(formatImageName(parsed))).toEqual(parsed);
  });

  it.each<[string, ImageName]>([
    ['oci:dir', { kind: 'oci', directory: 'dir' }],
    ['oci:/a/b:tag', { kind: 'oci', directory: '/a/b', tag: 'tag' }],
    ['oci:dir:a:b/c', { kind: 'oci', directory: 'dir', tag: 'a:b/c' }],
    ['oci:dir:a:/etc/x:y', { kind: 'oci', directory: 'dir', tag: 'a', path: '/etc/x:y' }],
    ['oci:a dir@2:a tag', { kind: 'oci', directory: 'a dir@2', tag: 'a tag' }],
    [String.raw`oci:/a\:b\\c/\d:tag`, { kind: 'oci', directory: String.raw`/a:b\c/\d`, tag: 'tag' }],
    [`oci:dir:t@sha256:${HEX}`, { kind: 'oci', directory: 'dir', tag: 't', digest: DIGEST }],
    [`oci:dir@sha256:${HEX}:/x`, { kind: 'oci', directory: 'dir', digest: DIGEST, path: '/x' }],
    [`oci:dir:sha256:${HEX}`, { kind: 'oci', directory: 'dir', digest: DIGEST }],
    ['app', { kind: 'tag', tag: 'app' }],
    ['team/app:1.0@x y', { kind: 'tag', tag: 'team/app:1.0@x y' }],
    ['app:1:/etc', { kind: 'tag', tag: 'app:1', path: '/etc' }],
    [`app@sha256:${HEX}:/etc`, { kind: 'tag', tag: 'app', digest: DIGEST, path: '/etc' }],
    [`sha256:${HEX}`, { kind: 'tag', digest: DIGEST }],
    ['saved.tar', { kind: 'archive', file: 'saved.tar' }],
    ['/a/saved.tar.gz:/etc', { kind: 'archive', file: '/a/saved.tar.gz', path: '/etc' }],
    [String.raw`a\:b.tgz`, { kind: 'archive', file: 'a:b.tgz' }],
    ['saved.tar:app', { kind: 'tag', tag: 'saved.tar:app' }],
    ['docker-archive:f', { kind: 'archive', file: 'f' }],
    ['oci-archive:f:h.example/a:1:/etc', { kind: 'archive', file: 'f', tag: 'h.example/a:1', path: '/etc' }],
    [`docker-archive:f@sha256:${HEX}`, { kind: 'archive', file: 'f', digest: DIGEST }],
  ])('%s', (text, name) => {
    expect(parseImageName(text)).toEqual(name);
    expect(parseImageName(formatImageName(name))).toEqual(name);
  });

  it.each([
    ['docker://h.example/a:1:/etc/motd', '/etc/motd'],
    ['docker://localhost:5000/a:/', '/'],
    [`docker://a@sha256:${HEX}:/etc`, '/etc'],
  ])('takes the path off %s', (text, path) => {
    const name = parseImageName(text);
    expect(name).toMatchObject({ kind: 'docker', path });
    expect(parseImageName(formatImageName(name))).toEqual(name);
  });

  it.each<[string, string]>([
    ['docker://h.example/team/App:1', 'App'],
    ['docker://h.example/a b', 'a b'],
    ['docker://h.example/a:-x', '-x'],
    ['docker://h.example/a@sha256:ab', 'sha256:ab'],
    ['docker://-h.example/a', '-h.example'],
    ['docker://h.example:99999/a', 'h.example:99999'],
    ['docker://h.example/a//b', ''],
    ['docker://localhost:5000', ''],
    ['oci:dir:app@sha256:12', 'sha256:12'],
    ['oci:dir:', ':'],
    ['oci::tag', ''],
    ['docker-archive::x', ''],
    ['https://h.example/a', 'https://'],
    ['a\nb', '\n'],
    ['', ''],
    [':/etc', ''],
  ])('says what of %j is wrong, and where', (text, part) => {
    const failure = failureOf(() => parseImageName(text)) as ImageNameError;
    expect(failure).toBeInstanceOf(ImageNameError);
    const { at, length } = failure.place;
    expect(text.slice(at, at + length)).toBe(part);
    expect(failure.facts).toMatchObject({ at, length });
    if (part !== '' && at > 0) expect(failure.message).toContain(`at character ${at + 1}`);
  });

  it('names what a store has', () => {
    const { host, repository } = parseRegistryReference('docker://h.example/a');
    const place = { kind: 'docker', host, repository } as const;
    expect(formatImageName(nameIn(place, '1')!)).toBe('docker://h.example/a:1');
    expect(() => nameIn(place, 'a b')).toThrow(ImageNameError);
    expect(formatImageName(nameIn({ kind: 'oci', directory: '/d:e' as AbsPath }, 'a b')!)).toBe('oci:/d\\:e:a b');
    expect(nameIn({ kind: 'memory' }, '1')).toBeUndefined();
  });

  it.each([
    ['index.docker.io', 'docker.io'],
    ['localhost', 'localhost'],
    ['h.example:5000', 'h.example:5000'],
  ])('takes %s for a registry', (text, host) => expect(parseRegistryHost(text)).toBe(host));

  it.each(['', 'a b', '-h.example', 'h.example:99999', 'user@h.example'])('takes %j for no registry', text =>
    expect(() => parseRegistryHost(text)).toThrow(ImageNameError),
  );

  it.each([
    'user:secret@h.example/a',
    'docker://user:secret@h.example/a:1',
    'docker://user:sec/ret@h.example/a',
    'docker://user:sec@ret@h.example/a',
    `docker://user:secret@h.example/a@sha256:${HEX}`,
    'user:secret@localhost:5000',
  ])('shows nothing of the login in %s', text => {
    const parse = () => parseRegistryReference(text);
    expect(parse).toThrow(expect.objectContaining({ code: 'invalid-input' }));
    expect(parse).not.toThrow(/user|sec|ret/);
    expect(showReference(text)).toContain('***@');
  });

  it.each([
    'docker://',
    'docker:///a',
    'docker://localhost:5000',
    'docker://h.example/',
    'docker://h.example/A',
    'docker://h.example/a//b',
    'docker://h.example/../a',
    'docker://h.example/a:',
    'docker://h.example/a:-x',
    `docker://h.example/a:${'x'.repeat(129)}`,
    'docker://h.example/a@sha256:ab',
    'docker://h.example/a@sha512:ab',
    'docker://h.example:99999/a',
    'docker://user:password@h.example/a',
    'docker://h.example/a?x=1',
    'docker://h.example/a b',
    'docker://-h.example/a',
    `docker://h.example/${'a/'.repeat(128)}a`,
    'oci:',
    'oci::tag',
    'oci:dir:',
    'oci:d\0r:tag',
  ])('refuses %s', text => {
    expect(() => parseImageName(text)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });

  it('connects to the host that serves Docker Hub', () => {
    const parsed = parseImageName('docker://debian');
    expect(parsed.kind === 'docker' && connectionHost(parsed.host)).toBe('registry-1.docker.io');
  });

  it('answers any text with a reference that it writes the same way again, or a clear error', () => {
    const text = fc.stringMatching(/^[a-zA-Z0-9:/@._ \\[\]-]{0,40}$/);
    const check = (rest: string, transport: string) => {
      let parsed;
      try {
        parsed = parseImageName(transport + rest);
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid-input' });
        return;
      }
      expect(parseImageName(formatImageName(parsed))).toEqual(parsed);
      if (parsed.kind === 'docker') expect(URL.canParse(`https://${parsed.host}/v2/${parsed.repository}/`)).toBe(true);
    };
    fc.assert(fc.property(text, fc.constantFrom('docker://', 'oci:', 'docker-archive:', ''), check), { numRuns: 3000 });
  });
});

function failureOf(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
