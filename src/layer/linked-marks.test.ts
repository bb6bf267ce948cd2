import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { emptyLower } from './lower-tree.ts';
import { defaultPackOptions } from './pack-options.ts';
import { packLayer } from './pack.ts';

const run = promisify(execFile);

it('marks of overlayfs go from files with several names, which share them', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'stk-marks-'));
  try {
    const script =
      'mkdir up up/d && echo x > up/a && ln up/a up/b && ln up/a up/d/c && setfattr -n user.overlay.origin -v o up/a';
    await run('sh', ['-ec', script], { cwd: home });
    const [upper, output] = [`${home}/up`, `${home}/layer`] as [AbsPath, AbsPath];
    expect(await packLayer({ upper, lower: emptyLower, output, options: defaultPackOptions })).toMatchObject({
      empty: false,
      entries: 2,
    });
    await run('unsquashfs', ['-q', '-n', '-d', 'out', 'layer'], { cwd: home });
    const { stdout } = await run('sh', ['-ec', 'stat -c "%h %n" a b d/c; getfattr -Rdm - .'], { cwd: `${home}/out` });
    expect(stdout).toBe('3 a\n3 b\n3 d/c\n');
  } finally {
    await rm(home, { recursive: true });
  }
});
