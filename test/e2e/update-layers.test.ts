import { execa } from 'execa';
import { expect, it } from 'vitest';
import { nextSsl, tagDigest, writeApp } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { writeImage } from '../rig/squashfs-image.ts';
import { applyList, inRole, layerDigest, packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage, readManifest } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'tool:veritysetup', 'tool:mksquashfs');

it('swaps the layers of an applied image and keeps every other', async () => {
  await using rig = await StkRig.open();
  const { base, run, digest } = await writeApp(rig);
  const ssl = await nextSsl(rig, base);
  const [outcome] = JSON.parse(await rig.ok(['update', 'app', '--apply', 'ssl', '--json'])) as [
    Record<string, unknown>,
  ];
  expect(outcome).toMatchObject({ outcome: 'updated', from: digest, layers: { kept: 2 }, merged: [] });
  const { layers } = await readManifest(rig.path('oci'), 'app');
  expect(layers.map(layer => layer.digest)).toEqual([base, ssl, run].map(layerDigest));
  const tree = await listImage(rig.path('oci'), 'app');
  expect([...tree.keys()].toSorted()).toEqual([
    'etc',
    'etc/app.conf',
    'etc/new',
    'etc/os',
    'lib',
    'lib/libc',
    'lib/ssl',
    'srv',
    'srv/app',
  ]);
  await rig.ok(['verify', 'app']);
});

it('says what the new version is: annotations, settings and history fit its layers', async () => {
  await using rig = await StkRig.open();
  const { base, digest } = await writeApp(rig);
  await nextSsl(rig, base);
  await rig.ok(['update', 'app', '--apply', 'ssl'], { env: { SOURCE_DATE_EPOCH: '86400' } });
  const after = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as {
    layers: { role: string; apply?: { name: string; digest: string } }[];
    applied: { name: string; ref: string; digest: string }[];
    annotations: Record<string, string>;
    config: { created: string; config: object; history: { created_by: string }[] };
  };
  const ssl = await tagDigest(rig, 'ssl');
  expect(after.layers.map(layer => layer.role)).toEqual(['base', 'apply', 'run']);
  expect(after.layers[1]?.apply).toEqual({ name: 'ssl', ref: 'ssl', digest: ssl });
  expect(after.applied).toMatchObject([{ name: 'ssl', ref: 'ssl', digest: ssl }]);
  expect(after.annotations).toMatchObject({ 'org.example.kept': 'yes', 'dev.stk.update.from': digest });
  expect(after.config).toMatchObject({
    created: '1970-01-02T00:00:00.000Z',
    config: { Env: ['A=b'], Cmd: ['/srv/app'] },
  });
  expect(after.config.history.map(entry => entry.created_by)).toEqual(['base layer', 'stk apply ssl', 'stk run']);
});

it('does nothing where nothing changed, and says so', async () => {
  await using rig = await StkRig.open();
  const { digest } = await writeApp(rig);
  const before = (await execa('find', [rig.path('oci'), '-type', 'f', '-newermt', '1970-01-01'])).stdout;
  expect(await rig.ok(['update', 'app', '--apply', 'ssl'])).toBe(`app ${digest} is up to date\n`);
  expect((await execa('find', [rig.path('oci'), '-type', 'f', '-newermt', '1970-01-01'])).stdout).toBe(before);
});

it('changes nothing with --dry-run and tells the layers and bytes', async () => {
  await using rig = await StkRig.open();
  const { base, digest } = await writeApp(rig);
  const ssl = await nextSsl(rig, base);
  const listing = async () => (await execa('find', [rig.path('oci'), '-printf', '%p %s %T@\n'])).stdout;
  const before = await listing();
  const [outcome] = JSON.parse(await rig.ok(['update', 'app', '--apply', 'ssl', '--dry-run', '--json'])) as [object];
  expect(outcome).toMatchObject({
    outcome: 'would-update',
    from: digest,
    layers: { added: [{ role: 'apply', name: 'ssl', digest: layerDigest(ssl), size: ssl.bytes.length }], kept: 2 },
  });
  expect(await listing()).toBe(before);
});

it('gives the new version another tag and leaves the old one', async () => {
  await using rig = await StkRig.open();
  const { base, digest } = await writeApp(rig);
  await nextSsl(rig, base);
  await rig.ok(['update', 'app', '--apply', 'ssl', '--tag', 'app-next']);
  expect(await tagDigest(rig, 'app')).toBe(digest);
  expect(await tagDigest(rig, 'app-next')).not.toBe(digest);
});

it('updates every image of a layout that applies it', async () => {
  await using rig = await StkRig.open();
  const parts = await writeApp(rig, 'app');
  await writeApp(rig, 'other', { ...parts, run: inRole(await packFiles({ 'srv/other': 'o' }), 'run') });
  await writeStack(rig.path('oci'), 'plain', { layers: [parts.base] });
  const plain = await tagDigest(rig, 'plain');
  await nextSsl(rig, parts.base);
  const outcomes = JSON.parse(await rig.ok(['update', '--all', '--apply', 'ssl', '--json'])) as {
    tag: string;
    outcome: string;
  }[];
  expect(outcomes.map(({ tag, outcome }) => [tag, outcome]).toSorted()).toEqual([
    ['app', 'updated'],
    ['other', 'updated'],
  ]);
  expect(await tagDigest(rig, 'plain')).toBe(plain);
});

it('swaps the base where the applied images go with it', async () => {
  await using rig = await StkRig.open();
  const { ssl } = await writeApp(rig);
  const base = inRole(await packFiles({ 'etc/os': 'two\n', 'lib/libc': 'c2' }), 'base');
  await writeStack(rig.path('oci'), 'base2', { layers: [base] });
  const alone = await rig.stk(['update', 'app', '--base', 'base2']);
  expect(alone.exitCode).toBe(12);
  expect(alone.stderr).toMatch(/ssl was built on .*base2/s);
  await writeStack(rig.path('oci'), 'ssl', { layers: [base, inRole(ssl, 'run')] });
  await rig.ok(['update', 'app', '--base', 'base2']);
  const after = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as {
    layers: { role: string }[];
    annotations: object;
  };
  expect(after.layers.map(layer => layer.role)).toEqual(['base', 'apply', 'run']);
  expect(after.annotations).toMatchObject({
    'org.opencontainers.image.base.name': 'base2',
    'org.opencontainers.image.base.digest': await tagDigest(rig, 'base2'),
  });
});

it('brings images to a new base before those that apply them, in one run', async () => {
  await using rig = await StkRig.open();
  const oci = rig.path('oci');
  const pack = async (path: string, content: string, role: string) =>
    inRole(await packFiles({ [path]: content }), role);
  const annotations = { 'org.opencontainers.image.base.name': 'base' };
  const base = await pack('etc/os', 'one', 'base');
  const ssl = await pack('lib/ssl', 'ssl', 'run');
  await writeStack(oci, 'base', { layers: [base] });
  const digest = await writeStack(oci, 'ssl', { layers: [base, ssl], annotations });
  // Before the one that it applies.
  await writeStack(oci, 'app', {
    layers: [base, inRole(ssl, 'apply')],
    annotations: { ...annotations, ...applyList([{ name: 'ssl', ref: 'ssl', digest }]) },
  });
  const next = await pack('etc/os', 'two', 'base');
  await writeStack(oci, 'base', { layers: [next] });
  const alone = await rig.stk(['update', 'app', '--base']);
  expect(alone.stderr).toContain('was built on another version of base than this image');
  const outcomes = JSON.parse(await rig.ok(['update', '--all', '--base', '--json'])) as {
    tag: string;
    outcome: string;
  }[];
  expect(outcomes.map(({ tag, outcome }) => `${tag} ${outcome}`)).toEqual(['ssl updated', 'app updated']);
  expect((await readManifest(oci, 'app')).layers.map(layer => layer.digest)).toEqual([next, ssl].map(layerDigest));
});

it('swaps the base of those images alone that stand on it, and passes over what cannot be updated', async () => {
  await using rig = await StkRig.open();
  const { base } = await writeApp(rig);
  const oci = rig.path('oci');
  const on = (name: string) => ({ 'org.opencontainers.image.base.name': name });
  const run = inRole(await packFiles({ 'srv/x': 'x' }), 'run');
  await writeStack(oci, 'mine', { layers: [base, run], annotations: on('base') });
  await writeStack(oci, 'theirs', { layers: [base, run], annotations: on('registry.example/other:1') });
  await writeImage(oci, 'mine-tar', [
    { bytes: Buffer.from('tar'), mediaType: 'application/vnd.oci.image.layer.v1.tar' },
  ]);
  await writeStack(oci, 'base', { layers: [inRole(await packFiles({ 'etc/os': 'two\n' }), 'base')] });
  const outcomes = JSON.parse(await rig.ok(['update', '--all', '--base', 'base', '--json'])) as { tag: string }[];
  expect(outcomes.map(({ tag }) => tag)).toEqual(['mine']);
  expect(await rig.ok(['update', 'mine', '--base'])).toContain('is up to date');
});

it('goes on with the others where one of all fails', async () => {
  await using rig = await StkRig.open();
  const parts = await writeApp(rig);
  const other = inRole(await packFiles({ 'srv/other': 'o' }), 'run');
  const digest = await tagDigest(rig, 'ssl');
  await writeStack(rig.path('oci'), 'older', {
    layers: [inRole(await packFiles({ 'etc/os': 'zero\n' }), 'base'), inRole(parts.ssl, 'apply'), other],
    annotations: applyList([{ name: 'ssl', ref: 'ssl', digest }]),
  });
  await nextSsl(rig, parts.base);
  const { exitCode, stdout, stderr } = await rig.stk(['update', '--all', '--apply', 'ssl', '--json']);
  expect(exitCode).toBe(12);
  expect(stderr).toMatch(/1 of 2 images could not be updated.*older: ssl .*was built on/s);
  const outcomes = JSON.parse(stdout) as { tag: string; outcome: string; code?: string }[];
  expect(outcomes.map(({ tag, outcome }) => `${tag} ${outcome}`).toSorted()).toEqual(['app updated', 'older failed']);
});
