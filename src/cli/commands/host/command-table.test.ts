import { describe, expect, it } from 'vitest';
import { makeProgram } from '../../program.ts';
import { commandTable } from './command-table.ts';

const { command } = makeProgram(
  () => {
    throw new Error('no command runs');
  },
  '/',
  {},
  '0',
);
const table = commandTable(command);

describe('the table of commands', () => {
  it('begins with the program and holds commands of commands under their full names', () => {
    expect(table[0]?.name).toBe('');
    const names = table.map(entry => entry.name);
    expect(names).toContain('build');
    expect(names).toContain('atomfs mount');
    expect(names).not.toContain('help');
    expect(names).not.toContain('command-table');
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(table.slice(1).map(entry => [entry.name, entry] as const))('tells what %s is for', (_, entry) => {
    expect(entry.description).toMatch(/^[a-z].{9,}[^.]$/);
    for (const option of entry.options) expect(option.description).toMatch(/\S{3}/);
  });

  it('has the notes of a command with its examples', () => {
    expect(table.find(entry => entry.name === 'run')?.notes).toMatch(/Examples:\n {2}stk run app\n/);
  });
});
