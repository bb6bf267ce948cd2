import { copyFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'registry', 'tool:busybox');

const EXAMPLE = path.resolve(import.meta.dirname, '../../examples/ci');

interface Outcome {
  readonly image: string;
  readonly outcome: string;
  readonly to?: string;
  readonly layers?: { readonly added: readonly { readonly role: string; readonly digest: string }[] };
}

const BASE = {
  from: 'scratch',
  imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }],
  run: '#!/bin/busybox sh\n/bin/busybox --install -s /bin; mkdir -p /etc /tmp /lib',
};

/** A shared layer with a version in it, and two applications. */
async function writeRecipes(rig: StkRig, version: string): Promise<void> {
  await rig.write('base.yaml', { base: BASE });
  await rig.write('stacker.yaml', {
    config: { prerequisites: ['base.yaml'] },
    ssl: { from: { type: 'built', tag: 'base' }, run: `echo ${version} > /lib/ssl` },
  });
  await rig.write('apps.yaml', {
    config: { prerequisites: ['stacker.yaml'] },
    ...Object.fromEntries(
      ['app-a', 'app-b'].map(name => [
        name,
        { from: { type: 'built', tag: 'base' }, apply: ['ssl'], run: `cat /lib/ssl > /${name}` },
      ]),
    ),
  });
}

async function roll(rig: StkRig, registry: string, ...args: readonly string[]): Promise<Outcome[]> {
  const { node, cli } = inject('stk');
  await copyFile(path.join(EXAMPLE, 'roll.sh'), rig.path('roll.sh'));
  const { stdout } = await execa('sh', ['roll.sh', ...args], {
    cwd: rig.directory,
    env: { HOME: rig.path('home'), STK: `${node} ${cli}`, REGISTRY: registry, APPS: '', TAG: '' },
    all: true,
  });
  expect(stdout).toContain('[');
  return JSON.parse(await readFile(rig.path('roll.json'), 'utf8')) as Outcome[];
}

it('rolls a new version through every application of a registry', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const at = `docker://${registry.host}/team`;
  await writeRecipes(rig, 'one');
  await rig.ok(['build', '-f', 'apps.yaml']);
  for (const name of ['ssl', 'app-a', 'app-b']) await rig.ok(['publish', name, `${at}/${name}:1`]);
  await rig.ok(['publish', 'base', `${at}/unrelated:1`]);

  await writeRecipes(rig, 'two');
  const looked = await roll(rig, at, '--dry-run');
  expect(looked.map(({ outcome }) => outcome)).toEqual(['would-update', 'would-update']);
  const before = await rig.ok(['inspect', `${at}/app-a:1`, '--json']);
  const rolled = await roll(rig, at);
  expect(rolled.map(({ image, outcome }) => [image, outcome]).toSorted()).toEqual([
    [`${at}/app-a:1`, 'updated'],
    [`${at}/app-b:1`, 'updated'],
  ]);
  expect(await rig.ok(['inspect', `${at}/app-a:1`, '--json'])).not.toBe(before);
  // What a merge request was told is what came.
  const added = (outcomes: readonly Outcome[]) => outcomes.map(({ image, layers }) => [image, layers?.added]);
  expect(added(rolled).toSorted()).toEqual(added(looked).toSorted());
  expect((await roll(rig, at)).map(({ outcome }) => outcome)).toEqual(['unchanged', 'unchanged']);

  await rig.ok(['publish', `${at}/app-b:1`, 'oci:back:app-b']);
  const listing = await rig.ok(['ls', '--json', 'oci:back:app-b:/lib']);
  expect(listing).toContain('"size":4');
});

it.each(['gitlab-ci.yml', 'github-workflow.yml'])(
  'calls the same script from %s, dry on merge requests',
  async file => {
    const text = await readFile(path.join(EXAMPLE, file), 'utf8');
    expect(typeof parse(text)).toBe('object');
    expect(text).toMatch(/roll\.sh.*--dry-run/);
  },
);
