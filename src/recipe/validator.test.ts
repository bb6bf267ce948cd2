import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { generateValidator } from '../../scripts/generate-validator.mjs';

const here = (file: string) => readFile(new URL(file, import.meta.url), 'utf8');

it('the generated validator is in step with the schema (node scripts/generate-validator.mjs)', async () => {
  const schema = await here('../../schemas/recipe.schema.json');
  expect(await here('recipe-validator.generated.ts')).toBe(await generateValidator(schema));
});

it('every key of the schema is described and has an example', async () => {
  interface Node {
    readonly description?: string;
    readonly examples?: readonly unknown[];
    readonly properties?: Readonly<Record<string, Node>>;
    readonly [key: string]: unknown;
  }
  const lacking: string[] = [];
  const visit = (node: Node, place: string) => {
    for (const [key, value] of Object.entries(node.properties ?? {})) {
      if (!value.description || !value.examples?.length) lacking.push(`${place}/${key}`);
    }
    for (const [key, value] of Object.entries(node)) {
      if (typeof value === 'object' && value !== null) visit(value as Node, `${place}/${key}`);
    }
  };
  visit(JSON.parse(await here('../../schemas/recipe.schema.json')) as Node, '#');
  expect(lacking).toEqual([]);
});
