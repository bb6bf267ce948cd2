import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bufferReader } from '../core/blob-reader.ts';
import { readArchiveMembers } from './archive-members.ts';

const LONG = `${'long/'.repeat(30)}name`;
const BIG = 300_000;

let bytes: Buffer;

beforeAll(() => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'stk-members-'));
  try {
    const script = `printf one > one; mkdir -p ${path.dirname(LONG)}; printf longer > ${LONG}; head -c ${BIG} /dev/zero > big
      printf last > last; ln one hard; mkdir d; ln -s ../last d/soft; ln -s nowhere lost
      tar --format="$FORMAT" -cf all.tar one ${LONG} big last hard d lost`;
    for (const format of ['gnu', 'pax']) {
      execFileSync('sh', ['-ec', `rm -rf d hard lost; ${script}; mv all.tar ${format}.tar`], {
        cwd: directory,
        env: { ...process.env, FORMAT: format },
      });
    }
    [gnu, pax] = ['gnu', 'pax'].map(format => readFileSync(path.join(directory, `${format}.tar`))) as [Buffer, Buffer];
    bytes = gnu;
  } finally {
    rmSync(directory, { recursive: true });
  }
});

let gnu: Buffer;
let pax: Buffer;

describe('members of an archive', () => {
  it.each(['gnu', 'pax'])('are found where they lie, by all their names: %s', async format => {
    const archive = format === 'gnu' ? gnu : pax;
    const members = await readArchiveMembers(bufferReader(archive));
    const read = (name: string) => {
      const { offset, sizeBytes } = members.get(name)!;
      return archive.toString('latin1', offset, offset + sizeBytes);
    };
    expect([...members.keys()].toSorted()).toEqual(['big', 'd/soft', 'hard', 'last', LONG, 'one'].toSorted());
    expect(['one', LONG, 'last', 'hard', 'd/soft'].map(read)).toEqual(['one', 'longer', 'last', 'one', 'last']);
    expect(read('big')).toBe('\0'.repeat(BIG));
  });

  it('are found without reading bodies', async () => {
    const inner = bufferReader(bytes);
    let readBytes = 0;
    const counted = {
      ...inner,
      readAt: (offset: number, length: number) => ((readBytes += length), inner.readAt(offset, length)),
    };
    await readArchiveMembers(counted);
    expect(readBytes).toBeLessThan(BIG / 4);
  });

  it.each([
    ['cut off in a body', () => bytes.subarray(0, 100_000)],
    ['cut off in a header', () => bytes.subarray(0, 1100)],
    ['no tar', () => Buffer.alloc(2048, 0x41)],
  ])('are refused of what is %s, with the name of the archive', async (_what, make) => {
    await expect(readArchiveMembers(bufferReader(make(), 'saved.tar'))).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/^saved\.tar is no whole tar: /) as string,
    });
  });

  it('may lack the last padding and the closing blocks', async () => {
    const last = bytes.lastIndexOf('lost');
    expect((await readArchiveMembers(bufferReader(bytes.subarray(0, last + 512)))).has('last')).toBe(true);
  });
});
