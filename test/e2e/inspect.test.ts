import { expect, it } from 'vitest';
import { tagDigest, writeApp } from '../rig/applied-app.ts';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { applyList, inRole, packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'tool:veritysetup', 'tool:mksquashfs');

async function writeMerged(rig: StkRig): Promise<void> {
  const { base, ssl, run } = await writeApp(rig);
  const merge = inRole(await packFiles({ 'etc/list': 'x' }), 'merge', {
    'dev.stk.merge.paths': JSON.stringify([
      ['/var/lib/dpkg/status', 'dpkg'],
      ['/etc/\u001b[31mred', 'text'],
    ]),
    'dev.stk.merge.count': '7',
  });
  const digest = await tagDigest(rig, 'ssl');
  await writeStack(rig.path('oci'), 'merged', {
    layers: [base, inRole(ssl, 'apply', { 'dev.stk.apply.name': 'ssl', 'dev.stk.apply.ref': 'ssl' }), merge, run],
    annotations: { ...applyList([{ name: 'ssl', ref: 'ssl', digest }]), 'dev.stk.update.from': digest },
  });
}

it('draws the stack: roles, names, who shares what, and what was merged', async () => {
  await using rig = await StkRig.open();
  await writeMerged(rig);
  const text = await rig.ok(['inspect', 'merged']);
  expect(text).toMatch(/^merged\n/);
  expect(text).toMatch(/ {2}applies +ssl ssl sha256:/);
  expect(text).toMatch(/ {2}updated +from sha256:/);
  expect(text).toMatch(/^1 +base .*app, ssl|^1 +base .*ssl, app/m);
  expect(text).toMatch(/^2 +apply +ssl +[0-9a-f]{12} .*(ssl, app|app, ssl)/m);
  expect(text).toContain('layer 3 (merge) settles 7 paths\n');
  expect(text).toMatch(/^\/var\/lib\/dpkg\/status +dpkg$/m);
  expect(text).toContain('and 5 more\n');
  expect(text).not.toContain('\u001b');
});

it('gives all of it as JSON', async () => {
  await using rig = await StkRig.open();
  await writeMerged(rig);
  const value: unknown = JSON.parse(await rig.ok(['inspect', 'merged', '--json']));
  expect(value).toMatchObject({
    name: 'merged',
    applied: [{ name: 'ssl', ref: 'ssl' }],
    layers: [
      { role: 'base' },
      { role: 'apply', apply: { name: 'ssl', ref: 'ssl' } },
      { role: 'merge', mergedCount: 7, merged: [['/var/lib/dpkg/status', 'dpkg'], expect.anything()] },
      { role: 'run' },
    ],
  });
});

it('takes annotations that are nonsense for none', async () => {
  await using rig = await StkRig.open();
  const { base } = await writeApp(rig);
  const bad = inRole(base, 'merge', { 'dev.stk.merge.paths': '{"a":', 'dev.stk.merge.count': '-3' });
  await writeStack(rig.path('oci'), 'bad', { layers: [bad], annotations: { 'dev.stk.apply': '[[[' } });
  expect(await rig.ok(['inspect', 'bad'])).toContain('layer 1 (merge) settles 0 paths');
});

it('inspects images of registries', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  await writeMerged(rig);
  const at = `docker://${registry.host}/team/merged:1`;
  await rig.ok(['publish', 'merged', at]);
  registry.requests.length = 0;
  expect(await rig.ok(['inspect', at])).toMatch(/^2 +apply +ssl/m);
  expect(registry.count(/^GET .*blobs/)).toBe(1);
  expect(await rig.stk(['inspect', `docker://${registry.host}/team/none:1`])).toMatchObject({ exitCode: 8 });
});
