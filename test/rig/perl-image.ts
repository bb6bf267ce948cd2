import { findProgramFiles } from '../../src/host/tools/program-files.ts';
import type { StkRig } from './stk-rig.ts';

/** Perl of the host, without its modules, can make any system call; it needs nothing of an image. */
const PERL: readonly string[] = ['/perl/loader', '--library-path', '/perl', '/perl/perl'];

/** Where a program runs that looks at a sandbox from inside. */
export type Place = 'step' | 'container';

/** Makes the image `perl` of a rig's layout, for `runPerl`. */
export async function buildPerlImage(rig: StkRig): Promise<void> {
  const { files } = await findProgramFiles('perl');
  const imports = [...files].map(([name, path]) => ({ path, dest: `/perl/${name}`, mode: '0755' }));
  const shell = { path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' };
  const run = '#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p /etc /tmp\nchmod 1777 /tmp';
  await rig.write('perl.json', { perl: { from: 'scratch', imports: [...imports, shell], run } });
  await rig.ok(['build', '-f', 'perl.json', '--no-verity']);
}

export interface PerlOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Of a container. */
  readonly user?: string | undefined;
}

/** Runs a program in a step or a container of that image, to its end; returns the lines of its standard output. */
export async function runPerl(
  rig: StkRig,
  place: Place,
  program: string,
  { env = {}, user = '0' }: PerlOptions = {},
): Promise<readonly string[]> {
  await rig.write('program.pl', program);
  if (place === 'container') {
    const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    const words = ['run', '-u', user, ...variables, '-v', 'program.pl:/program.pl:ro', 'perl', ...PERL, '/program.pl'];
    return (await rig.ok(words)).split('\n').slice(0, -1);
  }
  const run = `#!/bin/busybox sh\n${PERL.join(' ')} /stacker/imports/program.pl | /bin/busybox sed 's/^/said: /'`;
  const image = { from: 'oci:oci:perl', build_only: true, imports: ['program.pl'], build_env: env, run };
  await rig.write('step.json', { step: image });
  const { exitCode, stderr } = await rig.stk(['build', '-f', 'step.json', '--progress', 'plain']);
  if (exitCode !== 0) throw new Error(`the step ended with ${exitCode}:\n${stderr}`);
  return [...stderr.matchAll(/│ said: (.*)$/gm)].map(([, line = '']) => line);
}
