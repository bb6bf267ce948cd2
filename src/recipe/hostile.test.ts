import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { parseRecipe } from './parse.ts';
import { validateRecipes } from './validate.ts';

function check(text: string): readonly string[] {
  const directory = '/r' as AbsPath;
  const substitutions = new Map([['A', '1']]);
  const parsed = parseRecipe(text, { file: '/r/s', directory, workingDirectory: directory, substitutions });
  const lines = text.split('\n').length;
  for (const { span, message } of parsed.diagnostics) {
    expect(span!.line).toBeGreaterThan(0);
    expect(span!.endLine).toBeLessThanOrEqual(lines);
    expect(message.length).toBeLessThan(2000);
  }
  validateRecipes([parsed.readable], parsed.unreadable);
  const errors = parsed.diagnostics.filter(d => d.severity === 'error');
  expect(errors.length === 0).toBe(parsed.recipe !== undefined);
  return errors.map(d => d.rule);
}

const doubling = (count: number) =>
  ['a0: &a0 [x, x]', ...Array.from({ length: count }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)].join('\n');

describe('a hostile file is refused in bounded time', () => {
  it.each<[string, string, string]>([
    ['flow nesting', '['.repeat(1_000_000), 'yaml-limit'],
    ['map nesting', '{a: '.repeat(100_000), 'yaml-limit'],
    ['list nesting', '- '.repeat(100_000), 'yaml-limit'],
    ['key nesting', '? '.repeat(100_000), 'yaml-limit'],
    ['block nesting', Array.from({ length: 1500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'), 'yaml-limit'],
    ['doubling aliases', doubling(60), 'yaml-limit'],
    [
      'doubling merges',
      `a0: &a0 {x: 1}\n${Array.from({ length: 60 }, (_, i) => `a${i + 1}: &a${i + 1} {<<: [*a${i}, *a${i}]}`).join('\n')}`,
      'yaml-limit',
    ],
    [
      'one long text many times',
      `a: &a ${'x'.repeat(1_000_000)}\nb: {from: scratch, run: [${'*a, '.repeat(10_000)}]}`,
      'yaml-limit',
    ],
    ['many keys', Array.from({ length: 100_000 }, (_, i) => `k${i}: v`).join('\n'), 'yaml-limit'],
    ['many items', `a: [${'[],'.repeat(500_000)}]`, 'yaml-limit'],
    ['many documents', '---\n'.repeat(50_000), 'yaml-syntax'],
    ['many directives', '%X\n'.repeat(50_000), 'yaml-syntax'],
    ['a long quoted text without end', `a: "${'\n x'.repeat(500_000)}`, 'yaml-syntax'],
    ['50 MB', 'x'.repeat(50_000_000), 'yaml-limit'],
    [
      'many unknown keys',
      `a:\n  from: scratch\n${Array.from({ length: 20_000 }, (_, i) => `  k${i}: v`).join('\n')}`,
      'unknown-directive',
    ],
  ])('%s', (_, text, rule) => {
    const started = performance.now();
    expect(check(text)).toContain(rule);
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

const schema = readFileSync(new URL('../../schemas/recipe.schema.json', import.meta.url), 'utf8');
const words = [...new Set(schema.match(/"[a-z_]+"/g))].map(word => word.slice(1, -1));
const scalar = fc.oneof(
  fc.constantFrom(
    ...words,
    'a',
    '',
    '0755',
    'a -> /b',
    'stacker://a/x',
    'http://x/',
    'oci:a:b',
    '*a',
    '&a b',
    '!t x',
    '<<',
    '~',
    '${{A}}',
    '"',
    "'",
  ),
  fc.integer().map(String),
  fc.string({ maxLength: 8 }),
);
const tree = fc.letrec<{ node: string }>(tie => ({
  node: fc.oneof(
    { maxDepth: 5 },
    scalar,
    fc.array(tie('node'), { maxLength: 4 }).map(items => `[${items.join(', ')}]`),
    fc
      .array(fc.tuple(scalar, tie('node')), { maxLength: 5 })
      .map(entries => `{${entries.map(([k, v]) => `${k}: ${v}`).join(', ')}}`),
  ),
})).node;

const VALID = `config: {prerequisites: [b.yaml]}
base: &base
  from: {type: docker, url: docker://h/r:1}
app:
  <<: *base
  imports:
    - path: f
      mode: 0755
      dest: /x/
  run: |
    make \${{A}}
  binds: [a -> /b]
  environment: {A: 1}
  cmd: serve "a b"
`;

describe('whatever the text', () => {
  it('nothing is thrown for trees of the language’s own words', () => {
    fc.assert(
      fc.property(tree, text => void check(text)),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...words), tree)),
        entries => void check(`app:\n${entries.map(([k, v]) => `  ${k}: ${v}\n`).join('')}`),
      ),
      { numRuns: 500 },
    );
  });

  it('nothing is thrown for mutations of a valid recipe', () => {
    const at = fc.integer({ min: 0, max: VALID.length });
    const insert = fc.oneof(
      fc.string({ maxLength: 4 }),
      fc.constantFrom('\n', '  ', ': ', '- ', '{', '[', '*base', '&base ', '"', '|', '\t', '%', '---\n', '${{', '\0'),
    );
    const mutation = fc.tuple(at, fc.integer({ min: 0, max: 12 }), insert);
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), mutations => {
        check(mutations.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), VALID));
      }),
      { numRuns: 1000 },
    );
  });

  it('nothing is thrown for arbitrary text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), text => void check(text)),
      { numRuns: 300 },
    );
  });
});
