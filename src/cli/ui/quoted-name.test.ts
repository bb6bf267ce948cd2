import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hostText } from '../../core/host-text.ts';
import { quotedByteString, quotedName } from './quoted-name.ts';

describe('quotedName', () => {
  it('quotes as ls -b does', () => {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'stk-quoted-'));
    try {
      const names = [
        'plain',
        'a b',
        'a\nb',
        'tab\t',
        '\u001b[31m',
        'back\\slash',
        'é',
        '日本',
        '\u0085',
        '\u007f',
        "it's",
        '\\351',
      ];
      const bytes = names.map(name => Buffer.from(name));
      for (let byte = 1; byte < 256; byte++) if (byte !== 0x2f) bytes.push(Buffer.from([0x78, byte]));
      bytes.push(Buffer.from([0xc3, 0xa9, 0xe9, 0x41]), Buffer.from([0xef, 0xbf, 0xbd]));
      for (const name of bytes) writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), '');
      const listed = execFileSync('ls', ['-b', '-1', '-U', '--color=never'], {
        cwd: directory,
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
      });
      const expected = listed.toString().trimEnd().split('\n').toSorted();
      expect(bytes.map(name => quotedName(hostText(name))).toSorted()).toEqual(expected);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('shows what reorders text by its bytes', () => expect(quotedName('a\u202eb')).toBe('a\\342\\200\\256b'));

  it('takes byte strings', () => expect(quotedByteString('\u00c3\u00a9\u00e9')).toBe('é\\351'));
});
