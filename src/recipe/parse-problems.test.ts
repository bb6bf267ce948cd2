import { describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { parseRecipe, type ParsedRecipe } from './parse.ts';

function parse(text: string, substitutions: Record<string, string> = {}): ParsedRecipe {
  return parseRecipe(text, {
    file: '/r/stacker.yaml',
    directory: '/r' as AbsPath,
    workingDirectory: '/w' as AbsPath,
    substitutions: new Map(Object.entries(substitutions)),
  });
}

/** `rule line:column-column message` of each diagnostic. */
function complaints(parsed: ParsedRecipe): string[] {
  return parsed.diagnostics.map(({ rule, span, message }) => {
    const end = span!.endLine === span!.line ? String(span!.endColumn) : '…';
    return `${rule} ${span!.line}:${span!.column}-${end} ${message}`;
  });
}

describe('complaints', () => {
  const app = (directive: string) => `app:\n  from: scratch\n  ${directive}\n`;
  it.each<[string, string[]]>([
    ['a:b: {from: scratch}', ["image-name 1:1-4 the image name a:b holds ':', which is forbidden"]],
    ['a/b: {from: scratch}', ['image-name 1:1-4 not a name for an image: "a/b"']],
    ['app: {}', ['missing-base 1:6-8 invalid layer: no base (from directive)']],
    ['app: {from: {tag: x}}', ['missing-base 1:13-21 invalid layer: no base (from directive)']],
    ['app:', ['invalid-type 1:1-4 the image app must be a map, not empty']],
    ['- app', ['invalid-type 1:1-6 a recipe must be a map from image names to definitions']],
    [app('rnu: x'), ['unknown-directive 3:3-6 stackerfile: unknown directive rnu']],
    [
      'app: {from: {type: scratch, ulr: x}}',
      ['unknown-directive 1:29-32 stackerfile: unknown image source directive ulr'],
    ],
    [
      'app: {from: {type: dokcer}}',
      ['invalid-value 1:20-26 unknown image source type: dokcer is none of docker, oci, tar, built, scratch'],
    ],
    ['app: {from: {type: docker}}', ["missing-key 1:13-27 from url cannot be empty for image type 'docker'"]],
    ['app: {from: {type: docker, url: debian}}', ['invalid-reference 1:33-39 not a docker reference: debian']],
    ['app: {from: {type: oci, url: dir}}', ['invalid-reference 1:30-33 bad OCI tag: dir']],
    ['app: {from: "oci::x"}', ['invalid-reference 1:13-21 oci::x names no directory']],
    [
      'app: {from: docker://h.example/team/App:1}',
      ['invalid-reference 1:37-40 docker://h.example/team/App:1 has a bad repository component'],
    ],
    [
      'app: {from: {type: docker, url: "docker://h.example/a:-x"}}',
      ['invalid-reference 1:55-57 docker://h.example/a:-x has a bad tag'],
    ],
    [
      app('apply: [docker://u:secret@h.example/a]'),
      [
        'url-login 3:11-40 a URL holds a password or token, which is left out of what images say of their recipe',
        'invalid-reference 3:29-40 docker://***@h.example/a has a bad digest, or a login before its host',
      ],
    ],
    [app('apply: ["oci:d:a@sha256:12"]'), ['invalid-reference 3:20-29 oci:d:a@sha256:12 has a bad digest']],
    [
      'app: {from: docker://h.example/a:/etc}',
      ['invalid-reference 1:13-38 an image is meant, not a path in it: docker://h.example/a:/etc'],
    ],
    ['app: {from: {type: built}}', ["missing-key 1:13-26 from tag cannot be empty for image type 'built'"]],
    ['app: {from: ftp://x}', ['invalid-reference 1:13-20 unsupported url scheme ftp: ftp://x']],
    ['app: {from: [a]}', ['invalid-type 1:13-16 from must be a string or a map, not a list']],
    [app('imports: {path: f}'), ["invalid-type 3:12-21 'imports' expected an array, found a map"]],
    [app('imports: [{dest: /x}]'), ["missing-key 3:13-23 No 'path' entry found in import"]],
    [app('imports: [{path: f, dest: x}]'), ["relative-path 3:29-30 'dest' path cannot be relative: x"]],
    [app('imports: [{path: f, uid: -2}]'), ["invalid-value 3:28-30 'uid' (-2) cannot be negative"]],
    [app('imports: [{path: f, uid: "1"}]'), ['invalid-type 3:28-31 uid must be a whole number, not a string']],
    [app('imports: [{path: f, mode: 0999}]'), ['invalid-mode 3:29-33 not a file mode: 0999']],
    [app('imports: [{path: f, mode: rwx}]'), ['invalid-mode 3:29-32 not a file mode: rwx']],
    [app('imports: [{path: f, hash: abc}]'), ['hash-form 3:29-32 hash is not a sha256 in hex (64 digits): abc']],
    [app('imports: [{path: f, hash: 12}]'), ['hash-form 3:29-31 hash is not a sha256 in hex (64 digits): 12']],
    [app('imports: [{path: f, nohash: abc}]'), ['unknown-directive 3:23-29 imports: unknown key nohash is ignored']],
    [app('imports: [{path: f, content: x}]'), ["import-source 3:23-30 an import has either 'path' or 'content'"]],
    [app('imports: [{content: x}]'), ["missing-key 3:13-25 an import with 'content' needs 'dest', the path of a file"]],
    [
      app('imports: [{content: x, dest: /d/}]'),
      ["missing-key 3:32-35 an import with 'content' needs 'dest', the path of a file"],
    ],
    [app('imports: [https://h/]'), ['invalid-reference 3:13-23 the URL names no file: https://h/']],
    [
      app('imports: [a/x, b/x]'),
      ['shared-import-name 3:18-21 two imports are called x: the later one hides the earlier'],
    ],
    [app('import: f'), ["import-deprecated 3:3-9 'import' in layer 'app' is deprecated"]],
    [app('import: f\n  imports: g'), ["import-and-imports 3:3-9 layer 'app' cannot have both 'import' and 'imports'"]],
    [app('binds: [{dest: x}]'), ["missing-key 3:11-20 unexpected 'bind': missing required field 'source'"]],
    [app('platforms: arm64'), ['invalid-value 3:14-19 not a platform: arm64']],
    [
      app('arch: arm64\n  platforms: [linux/amd64]'),
      ['invalid-value 4:14-27 an image has arch or platforms, not both'],
    ],
    [app('binds: [a b]'), ['invalid-value 3:11-14 invalid Bind: a b']],
    [app('binds: [a -> /]'), ['invalid-value 3:11-17 a bind cannot cover the root directory']],
    [app('binds: {source: a}'), ['invalid-type 3:10-21 binds must be a list, not a map']],
    [app('run: {a: b}'), ['invalid-type 3:8-14 run must be a string or a list, not a map']],
    [app('run: [[a]]'), ['invalid-type 3:9-12 an item of run must be a string, not a list']],
    [app('environment: [A=1]'), ['invalid-type 3:16-21 environment must be a map, not a list']],
    [app('environment: {A: [1]}'), ['invalid-type 3:20-23 A must be a string, not a list']],
    [app('environment: {A=B: c}'), ['invalid-value 3:17-20 not a name for an environment variable: "A=B"']],
    [app('build_env_passthrough: ["("]'), ['invalid-value 3:27-30 not a regular expression: (']],
    [app("cmd: it's"), ["invalid-value 3:8-12 the command cannot be split: the quote ' is not closed"]],
    [app('network: hots'), ['invalid-value 3:12-16 network must be host or none, not hots']],
    [
      app('secrets: [a/b]'),
      [
        'invalid-value 3:13-16 an item of secrets holds other characters than letters, digits, dot, dash and underscore: a/b',
      ],
    ],
    [app('cache_dirs: [c]'), ['relative-path 3:16-17 an item of cache_dirs path cannot be relative: c']],
    [app('cache_dirs: [/]'), ['invalid-value 3:16-17 a cache directory cannot be the root directory']],
    [
      app('apply: [{image: x, conflicts: {a: lats}}]'),
      [
        'invalid-value 3:37-41 the resolution of a must be error, first, last, newer, merge, regenerate or renumber, not lats',
      ],
    ],
    [app('apply: [{image: x, z: 1}]'), ['unknown-directive 3:22-23 an item of apply: unknown key z']],
    [app('os:'), ['invalid-type 3:3-5 stackerfile: "os" value cannot be empty']],
    [app('build_only: maybe'), ['invalid-type 3:15-20 build_only must be true or false, not a string']],
    ['config: {a: b}', ['unknown-directive 1:10-11 config: unknown key a is ignored']],
    ['config: [a]', ['invalid-type 1:9-12 config must be a map, not a list']],
    ['app: {from: scratch}\napp: {from: scratch}', ['duplicate-key 2:1-4 duplicate key app']],
    ['app: {from: ${{BASE}}}', ['substitution-missing 1:13-22 no value for substitution BASE']],
    [
      'app: {from: *x}',
      ['yaml-syntax 1:13-15 the alias *x cannot be resolved: no anchor of that name comes before it'],
    ],
    ['app: &a {from: *a}', ['yaml-syntax 1:16-18 the alias *a cannot be resolved: the anchor contains it']],
    ['app: {from: !foo scratch}', ['yaml-syntax 1:18-25 the tag !foo has no meaning in a recipe']],
    ['a: {from: scratch}\n---\nb: {from: scratch}', ['yaml-syntax 2:1-1 the file holds more than one YAML document']],
    ['? [a]\n: {from: scratch}', ['yaml-syntax 1:3-6 a key must be a string']],
    ['a: {from: "x\\0y"}', ['yaml-syntax 1:11-17 a string cannot hold NUL']],
    ['a: \0', ['yaml-syntax 1:4-5 the file holds a NUL byte: it is not a text file']],
  ])('%j', (text, expected) => expect(complaints(parse(text))).toEqual(expected));

  it('are all reported at once, in file order, with suggestions', () => {
    const parsed = parse('app:\n  form: scratch\n  from: {typ: docker}\n  run: {}\nb: {}\nc: ${{D}}\n');
    expect(parsed.recipe).toBeUndefined();
    expect(parsed.diagnostics.map(d => [d.span!.line, d.rule, d.suggestion])).toEqual([
      [2, 'unknown-directive', 'did you mean from?'],
      [3, 'missing-base', 'write type: docker, oci, tar, built or scratch'],
      [3, 'unknown-directive', 'did you mean type?'],
      [4, 'invalid-type', undefined],
      [5, 'missing-base', 'write from: scratch for an empty base'],
      [6, 'substitution-missing', 'give it with --substitute D=VALUE, or write a default: ${{D:default}}'],
    ]);
  });

  it('points behind substitutions at the text that the user wrote', () => {
    const parsed = parse('${{A}}: {from: scratch, rnu: ${{B:}}, "c${{A}}d": 1}\n', {
      A: 'long\nname'.replace('\n', '-'),
    });
    expect(complaints(parsed)).toEqual([
      'unknown-directive 1:25-28 stackerfile: unknown directive rnu',
      'unknown-directive 1:39-49 stackerfile: unknown directive clong-named',
    ]);
  });
});
