import { describe, expect, it } from 'vitest';
import { Layers, merge, sides, type LayerContent } from '../../../test/fixtures/merge-layers.ts';
import { mergePath, outcomeText, type TreeFiles } from '../../../test/rig/merge-versions.ts';
import { dpkg } from './dpkg.ts';

const layers = new Layers();

const MARKS = 'var/lib/apt/extended_states';
const STATUS = 'var/lib/dpkg/status';

const status = (...names: readonly string[]) => ({
  [STATUS]: names
    .map(name => `Package: ${name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n`)
    .join(''),
});

const automatic = (...names: readonly string[]) => ({
  [MARKS]: names.map(name => `Package: ${name}\nArchitecture: amd64\nAuto-Installed: 1\n\n`).join(''),
});

async function marks(sides: Readonly<Record<string, TreeFiles>>, ancestor: TreeFiles = status()): Promise<string> {
  return outcomeText(await mergePath(dpkg, MARKS, { ancestor, sides }));
}

describe('marks of packages that came as dependencies', () => {
  const python = { ...status('python', 'ssl', 'z'), ...automatic('ssl', 'z') };
  const nginx = { ...status('nginx', 'ssl', 'z'), ...automatic('ssl', 'z', 'x') };

  it('are united', async () => {
    expect(await marks({ python, nginx })).toBe(automatic('ssl', 'z', 'x')[MARKS]);
  });

  it('are gone where a side asked for the package, also one that marked nothing', async () => {
    expect(await marks({ python, nginx, ssl: status('ssl') })).toBe(automatic('z', 'x')[MARKS]);
  });

  it('cannot be told where a package database is damaged', async () => {
    const damaged = { ...nginx, [STATUS]: 'Package: ../x\n\n' };
    expect(await marks({ python, nginx: damaged })).toMatch(/^conflict: the package database of nginx is damaged/);
  });

  it('of one image are gone where another was asked for the package, and stay as they are otherwise', async () => {
    const base = { ...status('apt'), ...automatic('b') };
    const run = async (...own: readonly (readonly LayerContent[])[]) => {
      const { tree, entries, conflicts } = await merge(await layers.applied([base], sides(...own)), [dpkg]);
      expect(conflicts).toEqual([]);
      return { marks: tree[MARKS], isMerged: entries.some(entry => entry.endsWith(MARKS)) };
    };
    const python = { ...status('apt', 'python', 'ssl', 'z'), ...automatic('ssl', 'z', 'b') };
    const shown = (...names: readonly string[]) => `file 644 0:0 ${JSON.stringify(automatic(...names)[MARKS])}`;
    const ssl = [status('apt', 'ssl')];
    expect(await run(ssl, [python])).toEqual({ marks: shown('b', 'z'), isMerged: true });
    expect(await run([python], ssl)).toEqual({ marks: shown('b', 'z'), isMerged: true });
    expect(await run([python], [status('apt', 'x')])).toEqual({ marks: shown('ssl', 'z', 'b'), isMerged: false });
  });

  it('of packages that a side purged with its database stay', async () => {
    expect(await marks({ python, nginx, bare: {} }, status())).toBe(automatic('ssl', 'z', 'x')[MARKS]);
  });
});
