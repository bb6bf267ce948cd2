import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  foreignArchitecture,
  foreignArchitectures,
  PROBE_STATUS,
  probeProgram,
  programMagic,
} from './foreign-architectures.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'probe-'));
});
afterAll(() => rm(directory, { recursive: true }));

it.each(foreignArchitectures())('the probe program for %s is one to an emulator', async name => {
  const architecture = foreignArchitecture(name)!;
  const file = path.join(directory, name);
  await writeFile(file, probeProgram(architecture));
  await chmod(file, 0o755);
  const { exitCode, stderr } = await execa(`qemu-${architecture.emulator}-static`, [file], { reject: false });
  expect({ exitCode, stderr }).toEqual({ exitCode: PROBE_STATUS, stderr: '' });
});

it("the kernel tells each architecture's programs from all others", () => {
  const names = foreignArchitectures();
  const matching = (name: string) => {
    const { magic, mask } = programMagic(foreignArchitecture(name)!);
    const matches = (file: Buffer) => magic.every((byte, at) => ((byte ^ file[at]!) & mask[at]!) === 0);
    return names.filter(other => matches(probeProgram(foreignArchitecture(other)!)));
  };
  for (const name of names) expect(matching(name)).toEqual([name]);
});

it('knows shared objects, too, and programs of other systems', () => {
  const { magic, mask } = programMagic(foreignArchitecture('s390x')!);
  const file = probeProgram(foreignArchitecture('s390x')!);
  file[7] = 3;
  file[17] = 3;
  expect(magic.every((byte, at) => ((byte ^ file[at]!) & mask[at]!) === 0)).toBe(true);
});
