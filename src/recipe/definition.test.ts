import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../core/canonical-json.ts';
import type { AbsPath } from '../core/paths.ts';
import { definitionKey, settingsKey } from './definition.ts';
import { parseRecipe } from './parse.ts';

function keys(text: string, directory = '/r'): { steps: string; settings: string } {
  const root = directory as AbsPath;
  const image = parseRecipe(text, { file: `${directory}/s.yaml`, directory: root, workingDirectory: root }).recipe!
    .images[0]!;
  return { steps: canonicalJson(definitionKey(image)), settings: canonicalJson(settingsKey(image)) };
}

const base = 'a: {from: scratch, run: x, imports: [f], binds: [d -> /d], secrets: [s]}';

describe('the key of a definition', () => {
  it.each([
    ['another name', 'b: {from: scratch, run: x, imports: [f], binds: [d -> /d], secrets: [s]}'],
    [
      'comments and order',
      '# c\n\na:\n  secrets: [s]\n  run: [x]\n  imports: f\n  binds: [{dest: /d, source: d}]\n  from: {type: scratch}',
    ],
    [
      'an expected hash',
      `a: {from: scratch, run: x, imports: [{path: f, hash: ${'0'.repeat(64)}}], binds: [d -> /d], secrets: [{id: s}]}`,
    ],
    ['settings', base.replace('run: x', 'run: x, labels: {a: b}, cmd: c, annotations: {a: b}, build_only: true')],
  ])('does not change with %s', (_, text) => expect(keys(text).steps).toBe(keys(base).steps));

  it('does not change with the place of the checkout', () =>
    expect(keys(base, '/elsewhere').steps).toBe(keys(base).steps));

  it.each([
    ['from: scratch', 'from: docker://x/y'],
    ['run: x', 'run: y'],
    ['run: x', 'generate_labels: x'],
    ['imports: [f]', 'imports: [g]'],
    ['imports: [f]', 'imports: [{path: f, dest: /f}]'],
    ['imports: [f]', 'imports: [{path: f, mode: 0600}]'],
    ['imports: [f]', 'import: [f]'],
    ['imports: [f]', 'imports: [{content: "", dest: /f}]'],
    ['binds: [d -> /d]', 'binds: [d -> /e]'],
    ['binds: [d -> /d]', 'binds: [{source: d, dest: /d, cache: ignore}]'],
    ['secrets: [s]', 'secrets: [{id: s, env: S}]'],
    ['run: x', 'run: x, build_env: {A: b}'],
    ['run: x', 'run: x, build_env_passthrough: [A]'],
    ['run: x', 'run: x, network: none'],
    ['run: x', 'run: x, cache_dirs: [/c]'],
    ['run: x', 'run: x, overlay_dirs: [d]'],
    ['run: x', 'run: x, arch: arm64'],
  ])('changes from %s to %s', (from, to) => {
    const changed = keys(base.replace(from, to));
    expect(changed.steps).not.toBe(keys(base).steps);
    expect(changed.settings).toBe(keys(base).settings);
  });

  it('keeps the settings apart', () => {
    expect(keys(base.replace('run: x', 'run: x, labels: {a: b}')).settings).not.toBe(keys(base).settings);
  });
});
