import { describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { dependenciesOf } from './dependencies.ts';
import type { Recipe } from './model.ts';
import { parseRecipe } from './parse.ts';
import { validateRecipes } from './validate.ts';

function recipe(text: string, file = '/r/stacker.yaml'): Recipe {
  const directory = '/r' as AbsPath;
  return parseRecipe(text, { file, directory, workingDirectory: directory }).recipe!;
}

const found = (...texts: string[]) =>
  validateRecipes(texts.map((text, index) => recipe(text, `/r/${index}.yaml`))).map(
    d => `${d.rule} ${d.span!.line}:${d.span!.column} ${d.message}`,
  );

describe('between images', () => {
  it.each<[string, string[], string[]]>([
    ['nothing', ['a: {from: b}\nb: {from: scratch}'], []],
    ['a base in another file', ['a: {from: b}', 'b: {from: scratch}'], []],
    ['a diamond', ['a: {from: b, imports: [stacker://c/x]}\nb: {from: d}\nc: {from: d}\nd: {from: scratch}'], []],
    [
      'a duplicate name',
      ['a: {from: scratch}', 'a: {from: scratch}'],
      ['duplicate-name 1:1 duplicate layer name: /r/0.yaml and /r/1.yaml both have a'],
    ],
    [
      'a missing base',
      ['app: {from: bsae}\nbase: {from: scratch}'],
      ["missing-image 1:13 couldn't find dependencies for app: app -> bsae: no image is called bsae"],
    ],
    [
      'a missing import',
      ['app: {from: scratch, imports: [stacker://x/f]}'],
      ["missing-image 1:32 couldn't find dependencies for app: app -> x: no image is called x"],
    ],
    [
      'a cycle',
      ['a: {from: b}\nb: {from: {type: tar, url: stacker://a/x}}'],
      ["dependency-cycle 2:11 couldn't find dependencies for a: a -> b -> a"],
    ],
    ['a cycle of one', ['a: {from: a}'], ["dependency-cycle 1:11 couldn't find dependencies for a: a -> a"]],
    [
      'a cycle behind a tail',
      ['x: {from: a}\na: {from: b}\nb: {from: a}'],
      ["dependency-cycle 3:11 couldn't find dependencies for a: a -> b -> a"],
    ],
    [
      'a cycle over files',
      ['a: {from: b}', 'b: {from: a}'],
      ["dependency-cycle 1:11 couldn't find dependencies for a: a -> b -> a"],
    ],
  ])('%s', (_, texts, expected) => expect(found(...texts)).toEqual(expected));

  it('suggests the nearest name', () => {
    expect(validateRecipes([recipe('app: {from: bsae}\nbase: {from: scratch}')])[0]!.suggestion).toBe(
      'did you mean base?',
    );
  });

  it('does not call an image missing that could not be read', () => {
    expect(validateRecipes([recipe('a: {from: b}')], ['b'])).toEqual([]);
  });

  it('walks chains of any length', () => {
    const chain = Array.from({ length: 5000 }, (_, i) => `a${i}: {from: a${(i + 1) % 5000}}`).join('\n');
    const [cycle, ...others] = validateRecipes([recipe(chain)]);
    expect(others).toEqual([]);
    expect(cycle!.message.length).toBeLessThan(400);
  });
});

it('the dependencies of an image are its base, what it applies and what it imports', () => {
  const text = 'a: {from: {type: tar, url: stacker://t/x}, apply: [b, docker://x/y], imports: [stacker://c/x, /f]}';
  expect(dependenciesOf(recipe(text).images[0]!).map(d => [d.image, d.via])).toEqual([
    ['t', 'from'],
    ['b', 'apply'],
    ['c', 'imports'],
  ]);
});
