import { expect, it } from 'vitest';
import { nextSsl, tagDigest, writeApp } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { applyList, inRole, packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'kernel-squashfs', 'tool:veritysetup', 'tool:mksquashfs');

it.each<{ readonly name: string; readonly args: readonly string[]; readonly status: number; readonly says: RegExp }>([
  { name: 'an image that is not there', args: ['nobody', '--apply', 'ssl'], status: 8, says: /no image nobody/ },
  {
    name: 'a name that it does not apply',
    args: ['app', '--apply', 'tls'],
    status: 8,
    says: /does not apply tls.*it applies: ssl/s,
  },
  {
    name: 'an applied image that vanished',
    args: ['app', '--apply', 'ssl=gone'],
    status: 8,
    says: /applies ssl, and there is no gone/,
  },
  { name: 'nothing to swap', args: ['app'], status: 2, says: /say what to swap/ },
  { name: 'no image', args: ['--apply', 'ssl'], status: 2, says: /needs an image/ },
  {
    name: 'a tag for many',
    args: ['--all', '--apply', 'ssl', '--tag', 'x'],
    status: 2,
    says: /--tag is for one image/,
  },
  { name: 'an empty reference', args: ['app', '--apply', 'ssl='], status: 2, says: /NAME=REF/ },
  {
    name: 'an unknown resolution',
    args: ['app', '--apply', 'ssl', '--conflict', '/x=maybe'],
    status: 9,
    says: /the ways are/,
  },
  {
    name: 'a demand without a key',
    args: ['app', '--apply', 'ssl', '--require-signature'],
    status: 2,
    says: /needs a key or a policy/,
  },
  { name: 'a base without a name', args: ['app', '--base'], status: 2, says: /does not say where its base/ },
  {
    name: 'an image of other tools',
    args: ['foreign', '--base', 'ssl'],
    status: 9,
    says: /does not say what its layers are/,
  },
  {
    name: 'layers in a strange order',
    args: ['strange', '--base', 'ssl'],
    status: 9,
    says: /in an order that stk does not make/,
  },
  { name: 'a broken annotation', args: ['broken', '--apply', 'ssl'], status: 9, says: /dev.stk.apply is malformed/ },
])('refuses $name', async ({ args, status, says }) => {
  await using rig = await StkRig.open();
  const { base, ssl, run } = await writeApp(rig);
  const oci = rig.path('oci');
  await writeStack(oci, 'foreign', { layers: [{ ...ssl, annotations: {} }] });
  await writeStack(oci, 'strange', { layers: [base, run, inRole(ssl, 'apply')] });
  await writeStack(oci, 'broken', { layers: [base], annotations: { 'dev.stk.apply': '[{"name":1}]' } });
  const before = await rig.ok(['inspect', '--json']);
  const { exitCode, stderr } = await rig.stk(['update', ...args]);
  expect(stderr).toMatch(says);
  expect(exitCode).toBe(status);
  expect(await rig.ok(['inspect', '--json'])).toBe(before);
});

it('refuses an applied image whose very version is gone, unless that is swapped, too', async () => {
  await using rig = await StkRig.open();
  const { base, ssl, run } = await writeApp(rig);
  const other = await packFiles({ 'usr/other': '1' });
  const gone = `sha256:${'ab'.repeat(32)}`;
  await writeStack(rig.path('oci'), 'other', { layers: [base, inRole(other, 'run')] });
  await writeStack(rig.path('oci'), 'both', {
    layers: [base, inRole(ssl, 'apply'), inRole(other, 'apply'), run],
    annotations: applyList([
      { name: 'ssl', ref: 'ssl', digest: await tagDigest(rig, 'ssl') },
      { name: 'other', ref: 'other', digest: gone },
    ]),
  });
  await nextSsl(rig, base);
  const { exitCode, stderr } = await rig.stk(['update', 'both', '--apply', 'ssl']);
  expect(exitCode).toBe(8);
  expect(stderr).toMatch(/applies other as .* which is gone/);
  await rig.ok(['update', 'both', '--apply', 'ssl', '--apply', 'other']);
});
