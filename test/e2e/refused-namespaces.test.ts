import { execa } from 'execa';
import { expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'userns', 'tool:unshare');

it.each([['build'], ['clean']])('says of %s that the host refuses namespaces, and what mends it', async command => {
  await using rig = await StkRig.open({ as: 'root' });
  await rig.write('stacker.yaml', { app: { from: 'scratch', run: 'true' } });
  await rig.write('.stk/work/.keep', '');
  const { node, cli } = inject('stk');
  // Limits of this kind hold for the user namespace that they are written in, and those below.
  const limits = ['user', 'mnt'].map(kind => `echo 0 > /proc/sys/user/max_${kind}_namespaces`).join('; ');
  const script = `${limits}; exec "$@"`;
  const words = ['--user', '--map-root-user', '--', 'sh', '-c', script, 'sh', node, cli, '--progress=json', command];
  const result = await execa('unshare', words, { cwd: rig.directory, reject: false });
  expect(result.stderr).toContain('namespaces');
  const lines = result.stderr.split('\n').filter(line => line.startsWith('{"type":"error"'));
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({
    code: 'missing-capability',
    hint: expect.stringMatching(/sysctl -w user\.max_(user|mnt)_namespaces/) as string,
  });
  expect(result.exitCode).toBe(6);
});
