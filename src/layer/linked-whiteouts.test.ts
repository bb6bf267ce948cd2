import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { convertSquashfsLayer } from './squashfs-to-tar.ts';

const run = promisify(execFile);

/** Overlayfs saves inodes by linking all whiteouts of a step to one device node. */
it('hard links of a whiteout are whiteouts', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'stk-whiteouts-'));
  try {
    const script =
      'mkdir d && mknod d/a c 0 0 && ln d/a d/b && mkdir d/s && ln d/a d/s/c && echo x > d/f && ln d/f d/g';
    await run('sh', ['-ec', `${script} && mksquashfs d in -no-progress -quiet`], { cwd: home });
    const [input, output] = [`${home}/in`, `${home}/out`] as [AbsPath, AbsPath];
    await convertSquashfsLayer({ input, output, compression: 'none' });
    const { stdout } = await run('tar', ['-tvf', output]);
    const rows = stdout
      .trim()
      .split('\n')
      .map(line => `${line[0]} ${line.replace(/^.*:\d\d /, '')}`);
    expect(rows.toSorted()).toEqual(
      ['- .wh.a', '- .wh.b', '- f', '- s/.wh.c', 'd ./', 'd s/', 'h g link to f'].toSorted(),
    );
  } finally {
    await rm(home, { recursive: true });
  }
});
