import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import type { AbsPath } from '../../core/paths.ts';
import { removeTree } from './copy.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync('/var/tmp/stk-copy-');
  script('mkdir outside; echo kept > outside/file');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string) => path.join(directory, name) as AbsPath;
const script = (text: string) => execFileSync('sh', ['-ec', text], { cwd: directory });

describe('a tree that is removed', () => {
  it.each([
    ['is absent', 'true'],
    ['is a file', 'echo x > tree'],
    ['is a symlink', 'ln -s outside tree'],
    ['is empty', 'mkdir tree'],
    ['holds links that lead out', 'mkdir -p tree/d; ln -s ../../outside tree/d/l; ln -s ../outside tree/l'],
    ['has names of any bytes', `mkdir -p "$(printf 'tree/\\377')/b"; echo x > "$(printf 'tree/\\377/\\376 n')"`],
    ['has a pipe, and depth', 'mkdir -p tree/a/b/c/d/e/f/g; mkfifo tree/a/b/p; echo x > tree/a/b/c/d/e/f/g/h'],
    ['has many names', 'mkdir tree; cd tree; for i in $(seq 100); do mkdir d$i; echo x > d$i/f; done'],
    ['has directories without rights', 'mkdir -p tree/a/b; chmod 0 tree/a'],
  ])('is gone where it %s', async (_what, make) => {
    script(make);
    await removeTree(at('tree'));
    expect(() => script('test ! -e tree && test ! -L tree')).not.toThrow();
    expect(readFileSync(at('outside/file'), 'utf8')).toBe('kept\n');
    expect(existsSync(directory)).toBe(true);
  });

  it('is not touched once the signal has fired', async () => {
    script('mkdir tree');
    await expect(removeTree(at('tree'), AbortSignal.abort())).rejects.toMatchObject({ code: 'interrupted' });
    expect(existsSync(at('tree'))).toBe(true);
  });

  describe('with another filesystem in it', () => {
    requires('root');

    it('keeps what is mounted, and fails', async () => {
      script('mkdir -p tree/mnt tree/other; mount -t tmpfs tmpfs tree/mnt; echo x > tree/mnt/file');
      try {
        await expect(removeTree(at('tree'))).rejects.toMatchObject({ code: 'tool-failed' });
        expect(readFileSync(at('tree/mnt/file'), 'utf8')).toBe('x\n');
      } finally {
        script('umount tree/mnt');
      }
    });
  });
});
