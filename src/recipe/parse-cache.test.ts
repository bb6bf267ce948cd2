import { expect, it } from 'vitest';
import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import type { AbsPath } from '../core/paths.ts';
import { parseCached, type ParseCache } from './parse-cache.ts';
import { parseRecipe, type ParseOptions } from './parse.ts';

const TEXT =
  'config: {prerequisites: [b.yaml]}\na: {from: scratch, imports: [{path: f, mode: 755}], annotations: {__proto__: x}, cmd: ${{A:x}}}\n';
const OPTIONS: ParseOptions = { file: '/r/s.yaml', directory: '/r' as AbsPath, workingDirectory: '/w' as AbsPath };

function memory(version = '1') {
  const texts = new Map<string, string>();
  const hits: boolean[] = [];
  const cache: ParseCache = {
    version,
    async read(key) {
      hits.push(texts.has(key));
      return texts.get(key);
    },
    async write(key, text) {
      texts.set(key, text);
    },
  };
  return { cache, texts, hits };
}

/** Absent and undefined members are alike to every reader. */
const shape = (value: unknown) => canonicalJson(JSON.parse(JSON.stringify(value)) as JsonValue);

it('gives what parsing gives, without and with an entry', async () => {
  const { cache, hits } = memory();
  const fresh = parseRecipe(TEXT, OPTIONS);
  for (const given of [undefined, cache, cache]) {
    const parsed = await parseCached(TEXT, OPTIONS, given);
    expect(shape(parsed)).toBe(shape(fresh));
    expect(parsed.prerequisiteSpans).toEqual(fresh.prerequisiteSpans);
    expect(parsed.recipe!.text).toBe(TEXT);
  }
  expect(hits).toEqual([false, true]);
});

it('depends on everything that parsing depends on', async () => {
  const { cache, hits } = memory();
  await parseCached(TEXT, OPTIONS, cache);
  const directory = '/x' as AbsPath;
  const others: Partial<ParseOptions>[] = [
    { file: '/x' },
    { directory },
    { workingDirectory: directory },
    { substitutions: new Map([['A', 'y']]) },
  ];
  for (const other of others) await parseCached(TEXT, { ...OPTIONS, ...other }, cache);
  await parseCached(`${TEXT}\n`, OPTIONS, cache);
  await parseCached(TEXT, OPTIONS, { ...cache, version: '2' });
  expect(hits).toEqual(Array.from({ length: 7 }, () => false));
});

it('remembers no recipe with errors and survives damage', async () => {
  const { cache, texts } = memory();
  await parseCached('a: {}', OPTIONS, cache);
  expect(texts.size).toBe(0);
  await parseCached(TEXT, OPTIONS, cache);
  for (const damage of ['', '{', 'null', '{}', '[]']) {
    for (const key of texts.keys()) texts.set(key, damage);
    expect((await parseCached(TEXT, OPTIONS, cache)).recipe!.images).toHaveLength(1);
  }
});
