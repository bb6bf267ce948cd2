import { expect, it } from 'vitest';
import { elfInterpreter } from './elf-interpreter.ts';
import { runTool } from './exec.ts';
import { findTool } from './find-tool.ts';

it('is what readelf says', async () => {
  const program = (await findTool('mount'))!;
  const { stdout } = await runTool('readelf', ['--program-headers', '--wide', program]).catch(() =>
    runTool('ldd', [program]),
  );
  expect(await elfInterpreter(program)).toMatch(/^\/.*ld/);
  expect(stdout.toString()).toContain(await elfInterpreter(program));
});

it.each(['/etc/passwd', '/dev/null'])('there is none in %s', async file => {
  expect(await elfInterpreter(file)).toBeUndefined();
});
