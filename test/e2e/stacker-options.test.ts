import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay');

it('takes command lines of stacker', async () => {
  await using rig = await StkRig.open();
  await rig.write('lib/stacker.yaml', { base: { from: { type: 'scratch' } } });
  await rig.write('stacker.yaml', {
    config: { prerequisites: ['lib/stacker.yaml'] },
    app: { from: { type: 'built', tag: 'base' }, overlay_dirs: [{ source: 'lib' }] },
    again: { from: { type: 'oci', url: 'oci:app' } },
  });
  const flags = ['--stacker-dir', '.s', '--roots-dir', 'r', '--storage-type', 'overlay', '--log-timestamp'];
  await rig.ok([...flags, '--progress', 'build', '--no-squashfs-verity']);
  const { layers } = JSON.parse(await rig.ok(['inspect', 'again', '--json'])) as { layers: { verity?: string }[] };
  expect(layers).toHaveLength(1);
  expect(JSON.stringify(layers)).not.toMatch(/[^a-z]verity[^"]*":"?[0-9a-f]/);
  expect(await rig.ok([...flags, '--no-progress', 'build', '--no-verity'])).toMatch(/^again sha256/m);
  const { stdout, stderr } = await rig.stk(['--debug', 'build', '--order-only']);
  expect(stdout).toBe('base\napp\nagain\n');
  expect(stderr.split('\n')).toEqual([
    expect.stringMatching(/^stk \d+\.\d+\.\d+/),
    `0 build ${rig.path('lib/stacker.yaml')}: requires: []`,
    `1 build ${rig.path('stacker.yaml')}: requires: [${rig.path('lib/stacker.yaml')}]`,
    '',
  ]);
});

it('says its version first where it says more, and writes a log of every command', async () => {
  await using rig = await StkRig.open();
  await rig.write('home/.config/stacker/conf.yaml', `oci_dir: layout\nstacker_dir: state\n`);
  await rig.write('stacker.yaml', { app: { from: 'scratch' } });
  const version = (await rig.ok(['--version'])).trim();
  const build = await rig.stk(['build', '--debug', '--progress', 'plain']);
  expect(build.stderr.match(/^stk \d.*$/gm)).toEqual([`stk ${version}`]);
  expect(build.stderr).toMatch(/^stk /);
  await rig.ok(['ls', '--log-file', 'log']);
  expect(await readFile(rig.path('log'), 'utf8')).toBe('');
  expect(await readFile(rig.path('layout/oci-layout'), 'utf8')).not.toBe('');
  const json = await rig.stk(['build', '--debug', '--progress', 'json', '--no-cache']);
  const [first] = json.stderr.trim().split('\n');
  expect(JSON.parse(first!)).toMatchObject({ type: 'message', level: 'debug', text: `stk ${version}` });
  expect(await rig.stk(['--debug', '--quiet', 'ls'])).toMatchObject({ exitCode: 2 });
});
