import { describe, expect, it } from 'vitest';
import { mergePath, outcomeText } from '../../../test/rig/merge-versions.ts';
import { text } from './text.ts';

const run = (ancestor: string | Buffer | undefined, ...sides: readonly (string | Buffer | undefined)[]) =>
  mergePath(text, 'f', {
    ancestor: { f: ancestor },
    sides: Object.fromEntries(sides.map((content, index) => [['ssl', 'python', 'app'][index], { f: content }])),
  });

describe('text', () => {
  it.each<[string, string, readonly string[], string]>([
    ['lines of two', 'a\nb\nc\n', ['A\nb\nc\n', 'a\nb\nC\n'], 'A\nb\nC\n'],
    ['lines of three', 'a\nb\nc\nd\ne\n', ['A\nb\nc\nd\ne\n', 'a\nb\nC\nd\ne\n', 'a\nb\nc\nd\nE\n'], 'A\nb\nC\nd\nE\n'],
    ['what all deleted', 'a\nb\nc\n', ['b\nc\n', 'b\n', 'b\nc\n'], 'b\n'],
    ['the same change of two', 'a\nb\nc\nd\n', ['X\nb\nc\nD\n', 'X\nb\nc\nd\n'], 'X\nb\nc\nD\n'],
    ['CRLF', 'a\r\nb\r\nc\r\n', ['A\r\nb\r\nc\r\n', 'a\r\nb\r\nc'], 'A\r\nb\r\nc'],
    ['no newline at the end', 'a\nb\nc', ['A\nb\nc', 'a\nb\nC'], 'A\nb\nC'],
    ['bytes that are no text', 'a\n\xff\nc\n', ['A\n\xff\nc\n', 'a\n\xff\n\xfe\n'], 'A\n\xff\n\xfe\n'],
    ['an empty file', '', ['', 'a\n'], 'a\n'],
    [
      'names that objects have',
      '__proto__\nb\nc\n',
      ['constructor\nb\nc\n', '__proto__\nb\ntoString\n'],
      'constructor\nb\ntoString\n',
    ],
  ])('merges %s', async (_, ancestor, sides, merged) => {
    const bytes = (content: string) => Buffer.from(content, 'latin1');
    expect(outcomeText(await run(bytes(ancestor), ...sides.map(bytes)))).toBe(merged);
    expect(outcomeText(await run(bytes(ancestor), ...sides.toReversed().map(bytes)))).toBe(merged);
  });

  it('shows a clash with the names of the sides', async () => {
    const outcome = await run('a\nold\nc\n', Buffer.from('a\nd\u00e9j\u00e0\nc\n'), 'a\nnew\nc\n');
    expect(outcome).toMatchObject({
      type: 'conflict',
      conflict: {
        message: 'ssl and python changed the same lines',
        excerpt: '<<<<<<< ssl\nd\u00e9j\u00e0\n||||||| base\nold\n=======\nnew\n>>>>>>> python',
      },
    });
  });

  it('shows no more than twenty short lines', async () => {
    const many = (mark: string) =>
      Array.from({ length: 500 }, (_, index) => `${mark}${index}${'x'.repeat(1000)}\n`).join('');
    const outcome = await run('old\n', many('a'), many('b'));
    const lines = outcome.type === 'conflict' ? outcome.conflict.excerpt!.split('\n') : [];
    expect(lines.length).toBeLessThanOrEqual(20);
    expect(Math.max(...lines.map(line => line.length))).toBeLessThan(220);
    expect(lines).toContain('… 496 more');
  });

  it.each<[string, string | undefined, readonly (string | undefined)[]]>([
    ['files with NUL bytes', 'a\n', ['a\0\n', 'b\n']],
    ['a file that was one with NUL bytes', 'a\0\n', ['a\n', 'b\n']],
    ['large files', 'a\n', ['a'.repeat(1_048_577), 'b\n']],
    ['a deleted file', 'a\n', [undefined, 'b\n']],
    ['very many lines that all differ', '\n'.repeat(500_000), ['x\n'.repeat(500_000), 'y\n'.repeat(500_000)]],
  ])('does not merge %s', async (_, ancestor, sides) => {
    const start = performance.now();
    expect((await run(ancestor, ...sides)).type).toBe('conflict');
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it('merges a long file of which little differs', async () => {
    const lines = Array.from({ length: 60_000 }, (_, index) => `line ${index}\n`);
    const one = lines.with(30_000, 'one\n').join('');
    const two = lines.with(30_010, 'two\n').join('');
    expect(outcomeText(await run(lines.join(''), one, two))).toBe(
      lines.with(30_000, 'one\n').with(30_010, 'two\n').join(''),
    );
  });
});
