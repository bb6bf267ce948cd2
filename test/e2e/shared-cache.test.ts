import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'registry', 'tool:busybox');

/** An image whose step leaves a random number, so that a step that ran twice shows. */
async function writeRecipe(rig: StkRig): Promise<void> {
  await execa('mkdir', ['-p', rig.path('root/bin')]);
  await execa('sh', ['-c', 'cp "$(command -v busybox)" root/bin/busybox; ln -sf busybox root/bin/sh'], {
    cwd: rig.directory,
  });
  await execa('tar', ['-C', rig.path('root'), '-cf', rig.path('base.tar'), '.']);
  await rig.write('stacker.yaml', {
    app: { from: { type: 'tar', url: 'base.tar' }, run: '/bin/busybox head -c 16 /dev/urandom > /number' },
    plain: { from: { type: 'built', tag: 'app' }, run: '/bin/busybox true' },
  });
}

async function forget(rig: StkRig): Promise<void> {
  for (const name of ['oci', '.stk']) await rm(rig.path(name), { recursive: true, force: true });
}

it.each(['docker', 'oci'])('takes steps of another machine from a %s store', async kind => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  await writeRecipe(rig);
  const store = kind === 'docker' ? `docker://${registry.host}/cache` : 'oci:cache';
  const cache = ['build', '--progress', 'plain', '--cache-from', store, '--cache-to', store];
  const first = await rig.stk(cache, { env: { SOURCE_DATE_EPOCH: '1' } });
  expect(first).toMatchObject({ exitCode: 0 });
  await forget(rig);
  const second = await rig.stk(cache, { env: { SOURCE_DATE_EPOCH: '1' } });
  expect(second).toMatchObject({ exitCode: 0, stdout: first.stdout });
  expect(second.stderr).not.toContain('│ run: started');
  await forget(rig);
  const without = await rig.stk(['build'], { env: { SOURCE_DATE_EPOCH: '1' } });
  expect(without.stdout).not.toBe(first.stdout);
});

it('builds all the same where the cache cannot be reached or holds nonsense', async () => {
  await using rig = await StkRig.open();
  await using fake = await FakeRegistry.start();
  await writeRecipe(rig);
  const store = `docker://${fake.host}/cache`;
  const build = ['build', '--progress', 'plain', '--cache-from', store, '--cache-to', store];
  fake.failNext({ match: /\/v2\/cache\//, with: { kind: 'status', status: 403 }, times: 100 });
  const refused = await rig.stk(build);
  expect(refused).toMatchObject({ exitCode: 0 });
  expect(refused.stderr).toContain('cannot read build cache');
  await using broken = await FakeRegistry.start();
  const other = ['build', '--progress', 'plain', '--cache-from', `docker://${broken.host}/cache`];
  broken.failNext({ match: /GET \/v2\/cache\/manifests/, with: { kind: 'html' }, times: 100 });
  await forget(rig);
  expect(await rig.stk(other)).toMatchObject({ exitCode: 0 });
});
