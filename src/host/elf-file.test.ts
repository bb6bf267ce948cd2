import { expect, it } from 'vitest';
import { readElfFile } from './elf-file.ts';
import { runTool } from './exec.ts';
import { realpath } from './files.ts';
import { findTool } from './find-tool.ts';
import { findSharedLibraries } from './shared-libraries.ts';

const TOOLS = ['mount', 'setpriv', 'unshare', 'env', 'perl', 'squashfuse_ll', 'tar'];

it.each(TOOLS)('the loader and the libraries of %s are those that the loader itself finds', async name => {
  const program = await findTool(name);
  if (program === undefined) return;
  const elf = (await readElfFile(program))!;
  const { stdout } = await runTool(elf.interpreter!, ['--list', program]);
  const lines = stdout.toString().split('\n');
  const expected = lines.flatMap(line => {
    const [, library, target] = /^\s*(\S+) => (\/\S+) \(0x/.exec(line) ?? [];
    return library === undefined || target === undefined ? [] : [[library, target] as const];
  });
  const found = (await findSharedLibraries(elf))!;
  const real = async (libraries: Iterable<readonly [string, string]>) => {
    const pairs: string[] = [];
    for (const [library, target] of libraries) pairs.push(`${library} ${await realpath(target)}`);
    return pairs.sort();
  };
  expect(await real(found)).toEqual(await real(expected));
  expect(expected.length).toBeGreaterThan(0);
});

it('a file that says where to look is left to the loader', async () => {
  const elf = (await readElfFile((await findTool('mount'))!))!;
  expect(await findSharedLibraries({ ...elf, hasSearchPath: true })).toBeUndefined();
});

it.each(['no-such-library.so.1', '/lib/x.so'])('a need of %s is left to the loader', async needed => {
  const elf = (await readElfFile((await findTool('mount'))!))!;
  expect(await findSharedLibraries({ ...elf, needed: [...elf.needed, needed] })).toBeUndefined();
});

it.each(['/etc/passwd', '/dev/null'])('there is nothing in %s', async file => {
  expect(await readElfFile(file)).toBeUndefined();
});
