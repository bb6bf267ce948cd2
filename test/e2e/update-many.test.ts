import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { applyList, inRole, layerDigest, packFiles, writeStack, type StackLayer } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage, readManifest } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'tool:mksquashfs');

const COUNT = 60;
const ROOT = 'root:x:0:0::/root:/bin/sh\n';
const user = (number: number) => `user${number}:x:${1000 + number}:100::/:/bin/sh\n`;

const pack = (number: number, version: string, more = '') =>
  packFiles(
    {
      'etc/passwd': ROOT + user(number) + more,
      [`usr/bin/tool${number}`]: version,
      [`usr/share/tool${number}/data`]: version,
    },
    {},
    false,
  );

it(`swaps one of ${COUNT} applied images that all changed one file`, async () => {
  await using rig = await StkRig.open();
  const oci = rig.path('oci');
  const base = inRole(await packFiles({ 'etc/passwd': ROOT }, {}, false), 'base');
  const own = inRole(await packFiles({ 'srv/app': 'app' }, {}, false), 'run');
  const layers: StackLayer[] = [];
  const entries: { readonly name: string; readonly ref: string; readonly digest: string }[] = [];
  for (let number = 0; number < COUNT; number++) {
    const name = `tool${number}`;
    const layer = await pack(number, 'one');
    const digest = await writeStack(oci, name, { layers: [base, inRole(layer, 'run')] });
    entries.push({ name, ref: name, digest });
    layers.push(inRole(layer, 'apply', { 'dev.stk.apply.name': name }));
  }
  await writeStack(oci, 'app', { layers: [base, ...layers, own], annotations: applyList(entries) });
  const next = await pack(30, 'two', 'extra:x:99:100::/:/bin/sh\n');
  await writeStack(oci, 'tool30', { layers: [base, inRole(next, 'run')] });
  await rig.ok(['update', 'app', '--apply', 'tool30']);
  const digests = (await readManifest(oci, 'app')).layers.map(layer => layer.digest);
  const expected = [base, ...layers.with(30, next)].map(layerDigest);
  expect(digests.slice(0, COUNT + 1)).toEqual(expected);
  expect(digests.slice(COUNT + 1)).toEqual([expect.anything(), layerDigest(own)]);
  const tree = await listImage(oci, 'app');
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
  const numbers = Array.from({ length: COUNT }, (_, number) => number);
  const users = numbers.map(number => user(number) + (number === 30 ? 'extra:x:99:100::/:/bin/sh\n' : ''));
  expect(tree.get('etc/passwd')).toContain(sha256(ROOT + users.join('')));
  for (const number of numbers) {
    expect(tree.get(`usr/bin/tool${number}`)).toContain(sha256(number === 30 ? 'two' : 'one'));
  }
});
