import { describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import type { ImageDefinition } from './model.ts';
import { parseRecipe, type ParsedRecipe } from './parse.ts';

function parse(text: string, substitutions: Record<string, string> = {}): ParsedRecipe {
  return parseRecipe(text, {
    file: '/r/stacker.yaml',
    directory: '/r' as AbsPath,
    workingDirectory: '/w' as AbsPath,
    substitutions: new Map(Object.entries(substitutions)),
  });
}

/** The image `app` with these directives, which must be valid; spans are taken out, they have tests of their own. */
function image(directives: string, from = 'from: scratch'): ImageDefinition {
  const body = [from, directives].filter(line => line !== '').join('\n');
  const { recipe, diagnostics } = parse(`app:\n${body.replaceAll(/^/gm, '  ')}\n`);
  expect(diagnostics.filter(d => d.severity === 'error')).toEqual([]);
  return JSON.parse(JSON.stringify(recipe!.images[0], (key, value: unknown) => (key === 'span' ? undefined : value)));
}

describe('from', () => {
  it.each([
    ['from: scratch', { type: 'scratch' }],
    ['from: {type: scratch}', { type: 'scratch' }],
    ['from: docker://h/r:1', { type: 'docker', url: 'docker://h/r:1', insecure: false }],
    [
      'from: {type: docker, url: docker://h/r, insecure: true}',
      { type: 'docker', url: 'docker://h/r', insecure: true },
    ],
    ['from: {type: docker, url: docker://h/r, insecure: yes}', { type: 'docker', url: 'docker://h/r', insecure: true }],
    ['from: {type: docker, url: "oci:d:t"}', { type: 'oci', url: 'd:t', directory: '/w/d', tag: 't' }],
    ['from: {type: oci, url: "d:a:b"}', { type: 'oci', url: 'd:a:b', directory: '/w/d', tag: 'a:b' }],
    ['from: {type: oci, url: "oci:base"}', { type: 'oci', url: 'oci:base', directory: '/w/oci', tag: 'base' }],
    ['from: {type: oci, url: "oci:d:a:b"}', { type: 'oci', url: 'd:a:b', directory: '/w/d', tag: 'a:b' }],
    ['from: {type: oci, url: "./oci:base"}', { type: 'oci', url: './oci:base', directory: '/w/oci', tag: 'base' }],
    ['from: oci:/x/d:t', { type: 'oci', url: '/x/d:t', directory: '/x/d', tag: 't' }],
    ['from: {type: tar, url: a.tar}', { type: 'tar', source: { type: 'path', path: '/w/a.tar' } }],
    ['from: base.tar.zst', { type: 'tar', source: { type: 'path', path: '/w/base.tar.zst' } }],
    ['from: ./dir/root', { type: 'tar', source: { type: 'path', path: '/w/dir/root' } }],
    ['from: https://h/a.tar.gz', { type: 'tar', source: { type: 'http', url: 'https://h/a.tar.gz' } }],
    [
      'from: {type: tar, url: stacker://b/x/../a.tar}',
      { type: 'tar', source: { type: 'image', image: 'b', path: '/a.tar' } },
    ],
    ['from: {type: built, tag: base}', { type: 'built', image: 'base' }],
    ['from: base', { type: 'built', image: 'base' }],
  ])('%s', (from, expected) => expect(image('', from).from).toEqual(expected));
});

describe('imports', () => {
  const mountPoint = '/stacker/imports';
  const file = (path: string, name: string) => ({
    source: { type: 'path', path },
    name,
    mountPoint,
    trailingSlash: false,
  });
  const hash = 'b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c';
  it.each<[string, unknown[]]>([
    ['imports: f1', [file('/r/f1', 'f1')]],
    ['imports: null', []],
    ['imports:', []],
    ['imports: [f1, {path: /x/f2}]', [file('/r/f1', 'f1'), file('/x/f2', 'f2')]],
    ['imports: [d/]', [{ ...file('/r/d', 'd'), trailingSlash: true }]],
    [
      'imports: ["https://h/a%20b.gz?x=1"]',
      [{ ...file('', 'a b.gz'), source: { type: 'http', url: 'https://h/a%20b.gz?x=1' } }],
    ],
    ['imports: ["https://h/..%2fb"]', [{ ...file('', '..%2fb'), source: { type: 'http', url: 'https://h/..%2fb' } }]],
    [
      'imports: [stacker://b/bin/tool]',
      [{ ...file('', 'tool'), source: { type: 'image', image: 'b', path: '/bin/tool' } }],
    ],
    [`imports: [{path: f, hash: ${hash.toUpperCase()}}]`, [{ ...file('/r/f', 'f'), hash: `sha256:${hash}` }]],
    [`imports: [{path: f, hash: 'sha256:${hash}'}]`, [{ ...file('/r/f', 'f'), hash: `sha256:${hash}` }]],
    ['imports: [{path: f, dest: /x//y/}]', [{ ...file('/r/f', 'f'), dest: '/x/y/' }]],
    ['imports: [{path: f, dest: /}]', [{ ...file('/r/f', 'f'), dest: '/' }]],
    ['imports: [{path: f, uid: 0, gid: 7}]', [{ ...file('/r/f', 'f'), uid: 0, gid: 7 }]],
    ['imports: [{path: f, uid: -1}]', [file('/r/f', 'f')]],
    [
      'imports: [{content: "a\\n", dest: /etc/x}]',
      [{ ...file('', 'x'), source: { type: 'content', content: 'a\n' }, dest: '/etc/x' }],
    ],
    ['import: f1', [{ ...file('/r/f1', 'f1'), mountPoint: '/stacker' }]],
  ])('%s', (directive, expected) => expect(image(directive).imports).toEqual(expected));

  it.each([
    ['0755', 0o755],
    ['"0755"', 0o755],
    ["'755'", 0o755],
    ['0o644', 0o644],
    ['00644', 0o644],
    ['420', 0o644],
    ['0', 0],
    ['04755', 0o4755],
  ])('mode %s', (written, mode) => expect(image(`imports: [{path: f, mode: ${written}}]`).imports[0]!.mode).toBe(mode));

  it('warns of a mode that is decimal but looks octal', () => {
    const { recipe, diagnostics } = parse('app: {from: scratch, imports: [{path: f, mode: 755}]}');
    expect(recipe!.images[0]!.imports[0]!.mode).toBe(755);
    expect(diagnostics.map(d => [d.severity, d.rule])).toEqual([['warning', 'decimal-mode']]);
  });
});

describe('mounts', () => {
  it.each<[string, keyof ImageDefinition, unknown[]]>([
    ['overlay_dirs: [{source: d}]', 'overlayDirs', [{ source: '/r/d', dest: '/' }]],
    ['overlay_dirs: [{source: d, dest: opt}]', 'overlayDirs', [{ source: '/r/d', dest: '/opt' }]],
    [
      'overlay_dirs: [d, d -> /x/]',
      'overlayDirs',
      [
        { source: '/r/d', dest: '/' },
        { source: '/r/d', dest: '/x' },
      ],
    ],
    ['binds: [/a]', 'binds', [{ source: '/a', dest: '/a', cache: 'hash' }]],
    [
      'binds: [a -> /b, {source: c, dest: d}]',
      'binds',
      [
        { source: '/r/a', dest: '/b', cache: 'hash' },
        { source: '/r/c', dest: '/r/d', cache: 'hash' },
      ],
    ],
    ['binds: [{source: /a, cache: ignore}]', 'binds', [{ source: '/a', dest: '/a', cache: 'ignore' }]],
    ['secrets: [tok]', 'secrets', [{ id: 'tok', dest: '/run/secrets/tok' }]],
    ['secrets: [{id: t, dest: /x, env: T}]', 'secrets', [{ id: 't', dest: '/x', env: 'T' }]],
    ['cache_dirs: [/c]', 'cacheDirs', [{ path: '/c', id: '/c', sharing: 'shared' }]],
    ['cache_dirs: [{path: /c/, id: k, sharing: locked}]', 'cacheDirs', [{ path: '/c', id: 'k', sharing: 'locked' }]],
    ['apply: ssl', 'apply', [{ reference: { type: 'built', image: 'ssl' }, conflicts: [], anyBase: false }]],
    [
      'apply: [{image: "oci:d:t", base: any, conflicts: {/a: last, "*": first}}]',
      'apply',
      [
        {
          reference: { type: 'oci', url: 'd:t', directory: '/w/d', tag: 't' },
          conflicts: [
            { glob: '/a', resolution: 'last' },
            { glob: '*', resolution: 'first' },
          ],
          anyBase: true,
        },
      ],
    ],
  ])('%s', (directive, key, expected) => expect(image(directive)[key]).toEqual(expected));
});

describe('scripts and settings', () => {
  it.each<[string, Partial<ImageDefinition>]>([
    ['run: make', { run: 'make' }],
    ['run: [a, "b c", true]', { run: 'a\nb c\ntrue' }],
    ['run: |\n  a\n  b\n', { run: 'a\nb\n' }],
    ['generate_labels: [x]', { generateLabels: 'x' }],
    ['build_env: {A: 1, B: , C: yes, D: 1.10}', { buildEnv: { A: '1', B: '', C: 'yes', D: '1.10' } }],
    ['build_env_passthrough: [A.*]', { buildEnvPassthrough: ['A.*'] }],
    ['build_env_passthrough: ["(?i)a"]', { buildEnvPassthrough: ['(?i)a'] }],
    ['network: none', { network: 'none' }],
    [
      'annotations: {a: b, __proto__: c}',
      {
        annotations: Object.fromEntries([
          ['a', 'b'],
          ['__proto__', 'c'],
        ]),
      },
    ],
    ['build_only: true', { buildOnly: true }],
    ['build_only: on', { buildOnly: true }],
    ['os: linux\narch: arm64', { os: 'linux', arch: 'arm64' }],
    ['platforms: linux/arm64', { platforms: [{ os: 'linux', architecture: 'arm64' }] }],
    [
      'platforms: [linux/amd64, linux/arm/v6]',
      {
        platforms: [
          { os: 'linux', architecture: 'amd64' },
          { os: 'linux', architecture: 'arm', variant: 'v6' },
        ],
      },
    ],
  ])('%s', (directive, expected) => expect(image(directive)).toMatchObject(expected));

  it('has nothing to run where run is absent, empty or blank', () => {
    for (const run of ['', 'run:', 'run: ""', 'run: []', 'run: ["", " "]']) expect(image(run).run).toBeUndefined();
  });

  it('reads the settings of the image', () => {
    const text = [
      'environment: {PATH: /bin}',
      'labels: {l: 010}',
      'volumes: [/v]',
      'working_dir: /srv',
      'runtime_user: 1000',
      'cmd: serve "a b" $HOME *.c',
      'entrypoint: [/bin/app, -x]',
      'full_command: []',
    ];
    expect(image(text.join('\n')).config).toEqual({
      environment: { PATH: '/bin' },
      labels: { l: '010' },
      volumes: ['/v'],
      workingDir: '/srv',
      runtimeUser: '1000',
      cmd: ['serve', 'a b', '$HOME', '*.c'],
      entrypoint: ['/bin/app', '-x'],
      fullCommand: [],
    });
  });
});

describe('a file', () => {
  it('keeps its text, its digest and the order of its images', () => {
    const text = 'b: {from: scratch}\n"10": {from: scratch}\n1: {from: ${{X:scratch}}}\n';
    const { recipe } = parse(text);
    expect(recipe).toMatchObject({ file: '/r/stacker.yaml', directory: '/r', text });
    expect(recipe!.images.map(i => i.name)).toEqual(['b', '10', '1']);
  });

  it('names its prerequisites absolutely', () => {
    const { recipe } = parse('config: {prerequisites: [../b/stacker.yaml, https://h/x.yaml]}');
    expect(recipe!.prerequisites).toEqual(['/b/stacker.yaml', 'https://h/x.yaml']);
  });

  it.each(['', '# only a comment\n', '---\n', 'config:\n'])('may be empty: %j', text => {
    expect(parse(text).recipe!.images).toEqual([]);
  });

  it('shares definitions by anchors and merge keys', () => {
    const { recipe } = parse(
      'a: &a {from: scratch, run: x, os: linux}\nb: {<<: *a, run: y}\nc: {<<: [{run: z}, *a]}\nd: *a\n',
    );
    expect(recipe!.images.map(i => [i.name, i.run, i.os])).toEqual([
      ['a', 'x', 'linux'],
      ['b', 'y', 'linux'],
      ['c', 'z', 'linux'],
      ['d', 'x', 'linux'],
    ]);
  });
});
