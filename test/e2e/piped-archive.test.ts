import { expect, inject, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('tool:skopeo');

it('reads archives of images through pipes, compressed or not, and leaves nothing behind', async () => {
  await using rig = await StkRig.open();
  const { node, cli } = inject('stk');
  await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ content: 'x', dest: '/x' }] } });
  await rig.ok(['build', '--layer-type', 'tar']);
  await script(
    rig,
    'root',
    'skopeo copy -q oci:oci:app docker-archive:a.tar:app:1; skopeo copy -q oci:oci:app oci-archive:o.tar:app',
  );
  const convert = (source: string, target: string) =>
    `${node} ${cli} -q convert ${source} oci:out:${target} > /dev/null`;
  for (const [index, command] of [
    `cat a.tar | ${convert('docker-archive:/dev/stdin', 't0')}`,
    `cat o.tar | ${convert('oci-archive:/dev/stdin', 't1')}`,
    `gzip -c a.tar | ${convert('docker-archive:/dev/stdin', 't2')}`,
    `mkfifo f; cat a.tar > f & ${convert('docker-archive:f', 't3')}`,
    `${convert('docker-archive:/dev/stdin', 't4')} < a.tar`,
  ].entries()) {
    await script(rig, 'root', command);
    expect(await rig.ok(['ls', `oci:out:t${index}:/`])).toBe('x\n');
  }
  expect(await script(rig, 'root', 'find .stk -name "archive*"')).toBe('');
  await script(rig, 'root', 'mkfifo g');
  await rig.write('stacker.yaml', { b: { from: { type: 'tar', url: 'g' } } });
  const { exitCode, stderr } = await rig.stk(['build']);
  expect([exitCode, stderr]).toEqual([9, expect.stringMatching(/g is a device, pipe or socket/)]);
});
