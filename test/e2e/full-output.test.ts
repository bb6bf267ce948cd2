import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { StkRig } from '../rig/stk-rig.ts';

let rig: StkRig;
beforeAll(async () => {
  rig = await StkRig.open();
  await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ content: 'x', dest: '/x' }] } });
  await rig.ok(['build']);
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Runs the command line with redirections of a shell; its status, and what it said on standard error. */
async function redirected(command: string, redirection: string): Promise<string> {
  const { node, cli } = inject('stk');
  return script(
    rig,
    'root',
    `set +e; { { ${node} ${cli} ${command}; echo "status $?" >&3; } ${redirection}; } 3>&1 2>&1`,
  );
}

it.each([
  '--help',
  'build --help',
  '--version',
  '-q build',
  'inspect',
  'inspect app --json',
  'ls -R app:/',
  'lint',
  'verify app',
  'completion bash',
])('says that standard output cannot be written: %s', async command => {
  expect(await redirected(command, '> /dev/full')).toMatch(
    /^error: standard output .* no space.*\n(?:.*\n)*status 10$/,
  );
});

it('takes a reader that left for no failure, and needs nobody who reads its messages', async () => {
  expect(await redirected('ls -R app:/', '| true')).toBe('status 0');
  expect(await redirected('build --no-cache', '2> /dev/full')).toMatch(/^app sha256:\w{64}\nstatus 0$/);
});
