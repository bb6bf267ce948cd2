import { execa } from 'execa';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import { compareRpmParts, compareRpmVersions } from './rpm-version.ts';

describe('compareRpmParts', () => {
  requires('tool:rpm');

  it('orders as rpm does', async () => {
    const part = fc.stringMatching(/^[0-9a-bZ.~^+]{1,8}$/);
    const pairs = fc.sample(fc.tuple(part, part), { numRuns: 3000, seed: 1 });
    const numbered = fc.sample(fc.tuple(fc.stringMatching(/^[0-2]{1,3}(\.[0-2]{1,2}){0,2}[~^]?$/), part), {
      numRuns: 1000,
      seed: 2,
    });
    const all = [...pairs, ...numbered, ...pairs.map(([a]) => [a, a] as const)];
    const calls = all.map(([a, b]) => `io.write(rpm.vercmp(${lua(a)}, ${lua(b)}), "\\n")`).join('\n');
    const directory = await mkdtemp(path.join(os.tmpdir(), 'stk-rpm-'));
    await writeFile(path.join(directory, 'script.lua'), calls);
    const { stdout } = await execa('rpm', ['--eval', `%{lua:dofile("${directory}/script.lua")}`]);
    await rm(directory, { recursive: true });
    const expected = stdout.trim().split('\n').map(Number);
    expect(expected).toHaveLength(all.length);
    for (const [i, [a, b]] of all.entries()) {
      expect([a, b, Math.sign(compareRpmParts(a, b))]).toEqual([a, b, expected[i]]);
    }
  });
});

function lua(text: string): string {
  return `"${text}"`;
}

describe('compareRpmVersions', () => {
  it.each(['1-1 < 1-2 < 1.1-1 < 1:0-1 < 2:0-1', '1.0~rc1-1 < 1.0-1 < 1.0^git1-1 < 1.0.1-1', '0:1-9 < 1-10'])(
    '%s',
    line => {
      const versions = line.split(' < ');
      for (const [i, older] of versions.entries()) {
        for (const newer of versions.slice(i + 1)) {
          expect(Math.sign(compareRpmVersions(older, newer))).toBe(-1);
          expect(Math.sign(compareRpmVersions(newer, older))).toBe(1);
        }
        expect(compareRpmVersions(older, older)).toBe(0);
      }
    },
  );
});
