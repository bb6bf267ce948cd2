import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  connectionHost,
  formatReference,
  parseReference,
  parseRegistryReference,
  showReference,
  storeReference,
} from './reference.ts';

const HEX = 'a'.repeat(64);

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
    const parsed = parseReference(text);
    expect({ tag: undefined, digest: undefined, ...parsed }).toEqual({ kind: 'docker', host, repository, tag, digest });
    expect(storeReference(parsed)).toBe(digest ?? tag ?? 'latest');
    expect(parseReference(formatReference(parsed))).toEqual(parsed);
  });

  it.each([
    ['oci:dir', 'dir', undefined],
    ['oci:/a/b:tag', '/a/b', 'tag'],
    ['oci:dir:a:b/c', 'dir', 'a:b/c'],
  ])('%s', (text, directory, tag) => {
    expect({ tag: undefined, ...parseReference(text) }).toEqual({ kind: 'oci', directory, tag });
  });

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
    'debian',
    'docker:debian',
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
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });

  it('connects to the host that serves Docker Hub', () => {
    const parsed = parseReference('docker://debian');
    expect(parsed.kind === 'docker' && connectionHost(parsed.host)).toBe('registry-1.docker.io');
  });

  it('answers any text with a reference that it writes the same way again, or a clear error', () => {
    const text = fc.stringMatching(/^[a-zA-Z0-9:/@._[\]-]{0,40}$/);
    const check = (rest: string, transport: string) => {
      let parsed;
      try {
        parsed = parseReference(transport + rest);
      } catch (error) {
        expect(error).toMatchObject({ code: 'invalid-input' });
        return;
      }
      expect(parseReference(formatReference(parsed))).toEqual(parsed);
      if (parsed.kind === 'docker') expect(URL.canParse(`https://${parsed.host}/v2/${parsed.repository}/`)).toBe(true);
    };
    fc.assert(fc.property(text, fc.constantFrom('docker://', 'oci:', ''), check), { numRuns: 3000 });
  });
});
