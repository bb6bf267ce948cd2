// Compiles the schemas to modules, so that no schema is compiled at start. `--check` only tells whether they are in step.
import { readFile, writeFile } from 'node:fs/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import standalone from 'ajv/dist/standalone/index.js';
import { build } from 'esbuild';

/** Name of a schema, its module, and the function that it exports. */
const MODULES = [
  ['recipe', '../src/recipe/recipe-validator.generated.ts', 'validateRecipeSchema'],
  ['fleet', '../src/fleet/fleet-validator.generated.ts', 'validateFleetSchema'],
];

/** The module's text for a schema given as JSON text. */
export async function generateValidator(schemaText, name = 'recipe') {
  const [, , validate] = MODULES.find(([each]) => each === name);
  const body = await compiledSchema(schemaText);
  const schema = JSON.parse(schemaText);
  const keys = JSON.stringify(Object.fromEntries(knownKeys('', schema, schema)));
  return `// Generated from schemas/${name}.schema.json by scripts/generate-validator.mjs; do not edit.
// @ts-nocheck
/* oxlint-disable */
// prettier-ignore
${body}

/** One violation, as ajv reports it. */
export interface SchemaError {
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** The key itself is at fault, not a value. */
  readonly propertyName?: string;
}

/** Known keys of every map with a fixed set of them, by its place: "*" is an image, "[]" an item of a list. */
// prettier-ignore
export const schemaKeys: Readonly<Record<string, readonly string[]>> = ${keys};

/** Validates the plain value of a ${name}; all violations, none if it is valid. */
export function ${validate}(value: unknown): readonly SchemaError[] {
  return validator(value) ? [] : (validator.errors ?? []);
}
`;
}

async function compiledSchema(schemaText) {
  const ajv = new Ajv2020({
    allErrors: true,
    allowUnionTypes: true,
    messages: false,
    strict: true,
    strictRequired: false,
    code: { source: true, esm: false, lines: false },
  });
  const validate = ajv.compile(JSON.parse(schemaText));
  const code = standalone.default(ajv, validate);
  const bundled = await build({
    stdin: { contents: code, resolveDir: new URL('.', import.meta.url).pathname, loader: 'js' },
    bundle: true,
    minify: true,
    charset: 'utf8',
    format: 'iife',
    globalName: 'validator',
    legalComments: 'none',
    target: 'es2022',
    write: false,
  });
  return bundled.outputFiles[0].text.trim().replace(/^"use strict";/, '');
}

/** The property names of every object of the schema by its place in a recipe: "*" is an image, "[]" an item of a list. */
function knownKeys(place, schema, root) {
  if (schema.$ref) {
    const target = schema.$ref
      .slice(2)
      .split('/')
      .reduce((at, key) => at[key], root);
    return knownKeys(place, target, root);
  }
  const inner = key => (place === '' ? key : `${place}/${key}`);
  const found = schema.properties && (place !== '' || schema.required) ? [[place, Object.keys(schema.properties)]] : [];
  for (const [key, value] of Object.entries(schema.properties ?? {})) found.push(...knownKeys(inner(key), value, root));
  if (schema.items) found.push(...knownKeys(inner('[]'), schema.items, root));
  if (schema.additionalProperties) found.push(...knownKeys(inner('*'), schema.additionalProperties, root));
  return found;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const [name, module] of MODULES) {
    const schema = new URL(`../schemas/${name}.schema.json`, import.meta.url);
    const target = new URL(module, import.meta.url);
    const text = await generateValidator(await readFile(schema, 'utf8'), name);
    if (!process.argv.includes('--check')) await writeFile(target, text);
    else if ((await readFile(target, 'utf8')) !== text) {
      throw new Error(`${target.pathname} is out of step with the schema`);
    }
  }
}
