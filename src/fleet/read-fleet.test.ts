import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { generateValidator } from '../../scripts/generate-validator.mjs';
import type { AbsPath } from '../core/paths.ts';
import { isFleetText, parseFleet, readFleet } from './read-fleet.ts';

const FILE = '/f/fleet.yaml' as AbsPath;
const here = (file: string) => readFile(new URL(file, import.meta.url), 'utf8');

describe('a fleet file', () => {
  it('is read with its defaults', () => {
    const fleet = readFleet(
      'images: [{from: docker://r.example/team/*, tags: 1.*, newest: 2}, {from: "oci:dir"}]',
      FILE,
    );
    expect(fleet.images[0]).toMatchObject({ tags: ['1.*'], newest: 2, exclude: [], move: 'always', tag: undefined });
    expect(fleet.images[1]).toMatchObject({ from: 'oci:dir', tags: ['*'] });
    expect(fleet).toMatchObject({ apply: 'all', base: true, limits: { parallel: 4, failures: 0 }, tlsVerify: true });
  });

  it('says which parts move, and how conflicts are settled', () => {
    const text = 'images: [{from: "oci:d"}]\napply: {ssl: docker://r/ssl:2, py: }\nconflicts: {/etc/motd: last}';
    const { apply, conflicts } = readFleet(text, FILE);
    expect(apply).toEqual(
      new Map([
        ['ssl', 'docker://r/ssl:2'],
        ['py', undefined],
      ]),
    );
    expect(conflicts).toEqual([{ glob: '/etc/motd', resolution: 'last' }]);
  });

  it.each([
    ['images: []', 'invalid-value', 1],
    ['limits: {}', 'missing-key', 1],
    ['images:\n  - from: docker://r/a\n    tag_template: x', 'unknown-directive', 3],
    ['images:\n  - from: docker://r/a\nimage: x', 'unknown-directive', 3],
    ['images:\n  - from: docker://r/a\nlimits: {parallel: 0}', 'invalid-value', 3],
    ['images:\n  - from: docker://r/a\n    move: never', 'invalid-value', 3],
    ['images:\n  - from: oci:dir:tag', 'invalid-value', 2],
    ['images:\n  - from: http://r/a', 'invalid-value', 2],
    ['images: [', 'yaml-syntax', 1],
  ])('has its mistakes shown at their places: %j', (text, rule, line) => {
    const { fleet, diagnostics } = parseFleet(text, FILE);
    expect(fleet).toBeUndefined();
    expect(diagnostics[0]).toMatchObject({ rule, span: { line } });
    expect(() => readFleet(text, FILE)).toThrow(expect.objectContaining({ code: 'recipe-invalid' }));
  });

  it('is told from a recipe by what is in it', () => {
    for (const text of [
      'images:\n- from: x',
      '# f\nimages: [{from: x}]',
      'base: true\nimages: # all\n\n  # of them\n  - from: x',
    ]) {
      expect(isFleetText(text)).toBe(true);
    }
    for (const text of ['images: {from: scratch}', 'app:\n  from: scratch\n  images:\n', 'images:\n  from: scratch']) {
      expect(isFleetText(text)).toBe(false);
    }
  });
});

describe('the schema of fleet files', () => {
  it('is what the generated validator was made of (node scripts/generate-validator.mjs)', async () => {
    const schema = await here('../../schemas/fleet.schema.json');
    expect(await here('fleet-validator.generated.ts')).toBe(await generateValidator(schema, 'fleet'));
  });

  it('has every key described in it and in the documentation, with an example', async () => {
    interface Node {
      readonly description?: string;
      readonly examples?: readonly unknown[];
      readonly properties?: Readonly<Record<string, Node>>;
      readonly [key: string]: unknown;
    }
    const documentation = await here('../../docs/fleet.md');
    const lacking: string[] = [];
    const visit = (node: Node) => {
      for (const [key, value] of Object.entries(node.properties ?? {})) {
        const isTold = documentation.includes(`\`${key}\``) || documentation.includes(`${key}:`);
        if (!value.description || !value.examples?.length || !isTold) lacking.push(key);
      }
      for (const value of Object.values(node)) if (typeof value === 'object' && value !== null) visit(value as Node);
    };
    visit(JSON.parse(await here('../../schemas/fleet.schema.json')) as Node);
    expect(lacking).toEqual([]);
  });
});
