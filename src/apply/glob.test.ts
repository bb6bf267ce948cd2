import fc from 'fast-check';
import picomatch from 'picomatch';
import { describe, expect, it } from 'vitest';
import { compileGlob } from './glob.ts';

describe('a glob', () => {
  it.each<[string, readonly string[], readonly string[]]>([
    ['/etc/motd', ['/etc/motd'], ['/etc/motd/x', '/etc/mot', 'etc/motd']],
    ['/etc/*.conf', ['/etc/a.conf', '/etc/.conf', '/etc/a.conf.conf'], ['/etc/a/b.conf', '/etc/a.con']],
    ['/usr/**', ['/usr', '/usr/a', '/usr/a/.b/c'], ['/usra', '/']],
    ['/**/x', ['/x', '/a/x', '/a/b/x'], ['/x/a', '/ax']],
    ['/**/a/**/b', ['/a/b', '/c/a/d/a/b'], ['/a', '/b/a']],
    ['/{a,b{c,d}}/e', ['/a/e', '/bc/e', '/bd/e'], ['/b/e']],
    ['/{usr/lib,lib}/x', ['/usr/lib/x', '/lib/x'], ['/usr/x']],
    ['/a{b}', ['/a{b}'], ['/ab']],
    ['/[a-c]?', ['/ax', '/c\xc3\xa9'], ['/dx', '/a', '/abc']],
    ['/[!a-c]x', ['/dx'], ['/ax']],
    ['/[a\\]]', ['/a', '/]'], ['/b']],
    ['/\\*\\{a,b\\}', ['/*{a,b}'], ['/xa']],
    ['/a(b|c)+', ['/a(b|c)+'], ['/ab']],
    ['/a*b', ['/a\nb'], []],
    ['/é', ['/\xc3\xa9'], ['/\xe9']],
    ['/[', ['/['], ['/a']],
  ])('%s', (glob, matching, others) => {
    const matches = compileGlob(glob)!;
    expect(matching.filter(path => !matches(path))).toEqual([]);
    expect(others.filter(path => matches(path))).toEqual([]);
  });

  it('means what picomatch takes it for', () => {
    const piece = fc.constantFrom('a', 'b', '*', '?', '[ab]', '[^a]', '.', '/', '/', '/**/', '{a,b}');
    const path = fc.array(fc.constantFrom('a', 'b', '.', '/'), { maxLength: 8 }).map(all => `/x/${all.join('')}`);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), path, (pieces, text) => {
        const glob = `/x/${pieces.join('')}`.replaceAll(/\/{2,}/g, '/');
        // Names that lead elsewhere, and trailing slashes, are in no path of an image.
        fc.pre(
          !/\/\/|\/$|(?:^|\/)\.{1,2}(?:\/|$)/.test(text) && !/\/$|\*\*\*|\/[.?*[\]{}^ab,]*\.[.?*]*(?:\/|$)/.test(glob),
        );
        // picomatch lets `**` cross names beside braces, too, and after a wildcard no last `**` stand for nothing.
        fc.pre(!/\*\*[^/]|[*?\]}][^/]*(?:\/\*\*)+$/.test(glob));
        expect(compileGlob(glob)!(text)).toBe(picomatch(glob, { dot: true })(text));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['/**/*a*a*a/**/*a*a*b', `/${Array.from({ length: 15 }, () => 'a'.repeat(255)).join('/')}`],
    [`/${'*a'.repeat(100)}b`, `/${'a'.repeat(255)}`],
    [`${'/**/a'.repeat(40)}/b`, '/a'.repeat(2000)],
    ['/*{a,aa}*{a,aa}*{a,aa}*{a,aa}/**/b', `/${'a'.repeat(255)}`],
  ])('%s ends soon', (glob, path) => {
    // Stepping back to every wildcard would take longer than any test may.
    expect(compileGlob(glob)!(path)).toBe(false);
  });

  it('with braces for too many is none', () => {
    expect(compileGlob(`/${'{a,b}'.repeat(40)}`)).toBeUndefined();
  });
});
