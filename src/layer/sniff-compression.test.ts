import { execa } from 'execa';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sniffCompression } from './sniff-compression.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stk-sniff-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function tarOf(name: string): Promise<Buffer> {
  await writeFile(path.join(directory, name), 'x');
  await execa('tar', ['-cf', 'made.tar', name], { cwd: directory });
  return readFile(path.join(directory, 'made.tar'));
}

async function compressed(program: string): Promise<Buffer> {
  await tarOf('file');
  return Buffer.from((await execa(program, ['-c', 'made.tar'], { cwd: directory, encoding: 'buffer' })).stdout);
}

const sniffed = (bytes: Buffer, pieceBytes: number) =>
  sniffCompression(async function* () {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  });

describe('how a tar is compressed', () => {
  it.each(['gzip', 'zstd'] as const)('is told from what %s wrote', async program => {
    expect(await sniffed(await compressed(program), 100)).toBe(program);
  });

  it.each(['xz', 'bzip2'])('is refused for %s', async program => {
    if (program === 'bzip2')
      return expect(sniffed(Buffer.from('BZh91AY'), 3)).rejects.toMatchObject({ code: 'unsupported' });
    await expect(sniffed(await compressed(program), 7)).rejects.toMatchObject({ code: 'unsupported' });
  });

  it.each(['file', 'BZhello', '(\u00b5/\u00fd'.replace('/', ''), '\u001f\u008b'])(
    'is not at all for a plain one whose first name is %j',
    async name => {
      expect(await sniffed(await tarOf(name), 512)).toBe('none');
      expect(await sniffed(await tarOf(name), 1)).toBe('none');
    },
  );

  it('is not at all for nothing', async () => {
    expect(await sniffed(Buffer.alloc(0), 1)).toBe('none');
  });
});
