import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { parseRecipe } from './parse.ts';
import { schemaKeys } from './recipe-validator.generated.ts';

const text = readFileSync(new URL('../../docs/recipe.md', import.meta.url), 'utf8');
const sections = text.split(/^##+ /m).slice(1);

/** The section whose heading holds the directive in backticks. */
function sectionOf(directive: string): string | undefined {
  return sections.find(section => section.slice(0, section.indexOf('\n')).includes(`\`${directive}\``));
}

describe('the reference of recipes', () => {
  it.each(schemaKeys['*']!)('has a section on %s with an example', directive => {
    const section = sectionOf(directive);
    expect(section).toBeDefined();
    expect(section).toMatch(new RegExp(`^\`\`\`yaml\\n[^]*?^  ${directive}:`, 'm'));
  });

  const nested = Object.entries(schemaKeys).flatMap(([place, keys]) => {
    const directive = place.split('/').find(part => part !== '*');
    return directive === undefined ? [] : keys.map(key => [directive, key] as const);
  });
  it.each(nested)('says in the section on %s what %s is', (directive, key) => {
    expect(sectionOf(directive)).toContain(`\`${key}\``);
  });

  it('has sections on nothing else', () => {
    const headings = [...text.matchAll(/^### `(.+)`$/gm)].map(match => match[1]!);
    expect(headings.filter(heading => !schemaKeys['*']!.includes(heading))).toEqual([]);
  });

  const examples = [...text.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(match => match[1]!);
  it.each(examples)('gives a valid recipe: %s', example => {
    const directory = '/r' as AbsPath;
    const { diagnostics } = parseRecipe(example, { file: '/r/stacker.yaml', directory, workingDirectory: directory });
    const expected = example.includes('\n  import:') ? ['import-deprecated'] : [];
    expect(diagnostics.map(d => d.rule)).toEqual(expected);
  });
});
