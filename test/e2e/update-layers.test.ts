import { execa } from 'execa';
import { expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { applyList, inRole, layerDigest, packFiles, writeStack, type StackLayer } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage, readManifest } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'tool:veritysetup', 'tool:mksquashfs');

interface Parts {
  readonly base: StackLayer;
  readonly ssl: StackLayer;
  readonly run: StackLayer;
}

/** An image that applies `ssl` and wrote something of its own. */
async function writeApp(
  rig: StkRig,
  tag = 'app',
  parts?: Partial<Parts>,
): Promise<Parts & { readonly digest: string }> {
  const oci = rig.path('oci');
  const base = parts?.base ?? inRole(await packFiles({ 'etc/os': 'one\n', 'lib/libc': 'c' }), 'base');
  const ssl = parts?.ssl ?? (await packFiles({ 'lib/ssl': 'ssl 1', 'etc/ssl.conf': 'old\n' }));
  const run = parts?.run ?? inRole(await packFiles({ 'srv/app': 'app', 'etc/app.conf': 'x' }), 'run');
  const digest = await writeStack(oci, 'ssl', { layers: [base, inRole(ssl, 'run')] });
  await writeStack(oci, tag, {
    layers: [base, inRole(ssl, 'apply', { 'dev.stk.apply.name': 'ssl' }), run],
    annotations: { ...applyList([{ name: 'ssl', ref: 'ssl', digest }]), 'org.example.kept': 'yes' },
    config: { Env: ['A=b'], Cmd: ['/srv/app'] },
    createdBy: ['base layer', 'stk apply ssl', 'stk run'],
  });
  return { base, ssl, run, digest: await readIndexDigest(rig, tag) };
}

async function readIndexDigest(rig: StkRig, tag: string): Promise<string> {
  return (JSON.parse(await rig.ok(['inspect', tag, '--json'])) as { digest: string }).digest;
}

async function nextSsl(
  rig: StkRig,
  base: StackLayer,
  files = { 'lib/ssl': 'ssl 2', 'etc/new': 'n' },
): Promise<StackLayer> {
  const ssl = await packFiles(files);
  await writeStack(rig.path('oci'), 'ssl', { layers: [base, inRole(ssl, 'run')] });
  return ssl;
}

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
  const ssl = await readIndexDigest(rig, 'ssl');
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
  expect(await readIndexDigest(rig, 'app')).toBe(digest);
  expect(await readIndexDigest(rig, 'app-next')).not.toBe(digest);
});

it('updates every image of a layout that applies it', async () => {
  await using rig = await StkRig.open();
  const parts = await writeApp(rig, 'app');
  await writeApp(rig, 'other', { ...parts, run: inRole(await packFiles({ 'srv/other': 'o' }), 'run') });
  await writeStack(rig.path('oci'), 'plain', { layers: [parts.base] });
  const plain = await readIndexDigest(rig, 'plain');
  await nextSsl(rig, parts.base);
  const outcomes = JSON.parse(await rig.ok(['update', '--all', '--apply', 'ssl', '--json'])) as {
    tag: string;
    outcome: string;
  }[];
  expect(outcomes.map(({ tag, outcome }) => [tag, outcome]).toSorted()).toEqual([
    ['app', 'updated'],
    ['other', 'updated'],
  ]);
  expect(await readIndexDigest(rig, 'plain')).toBe(plain);
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
  await rig.ok(['update', 'app', '--base', 'base2', '--apply', 'ssl']);
  const after = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as {
    layers: { role: string }[];
    annotations: object;
  };
  expect(after.layers.map(layer => layer.role)).toEqual(['base', 'apply', 'run']);
  expect(after.annotations).toMatchObject({
    'org.opencontainers.image.base.name': 'base2',
    'org.opencontainers.image.base.digest': await readIndexDigest(rig, 'base2'),
  });
});

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
  { name: 'a base without a name', args: ['app', '--base'], status: 2, says: /does not say what its base is called/ },
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
      { name: 'ssl', ref: 'ssl', digest: await readIndexDigest(rig, 'ssl') },
      { name: 'other', ref: 'other', digest: gone },
    ]),
  });
  await nextSsl(rig, base);
  const { exitCode, stderr } = await rig.stk(['update', 'both', '--apply', 'ssl']);
  expect(exitCode).toBe(8);
  expect(stderr).toMatch(/applies other as .* which is gone/);
  await rig.ok(['update', 'both', '--apply', 'ssl', '--apply', 'other']);
});

it('moves nothing that stays, straight on a registry', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  const at = (name: string) => `docker://${registry.host}/${name}`;
  const { base, run } = await writeApp(rig);
  for (const name of ['app', 'ssl']) await rig.ok(['publish', name, at(`${name}:1`)]);
  const ssl = await nextSsl(rig, base);
  await rig.ok(['publish', 'ssl', at('ssl:2')]);
  registry.requests.length = 0;
  const stdout = await rig.ok(['update', at('app:1'), '--apply', `ssl=${at('ssl:2')}`, '--json']);
  const [outcome] = JSON.parse(stdout) as [{ bytesSent: number; to: string }];
  // Configuration and manifest alone: the new layer was mounted across repositories.
  expect(outcome.bytesSent).toBeLessThan(4096);
  expect(registry.count(new RegExp(`^POST /v2/app/blobs/uploads/.*${layerDigest(ssl).slice(7)}`))).toBe(1);
  const layers = [base, run, ssl].map(layer => layerDigest(layer).slice(7));
  const fetched = registry.requests.filter(
    ({ method, url }) => method === 'GET' && layers.some(hex => url.includes(hex)),
  );
  expect(fetched.filter(({ headers }) => headers.range === undefined)).toEqual([]);
  await rig.ok(['publish', at('app:1'), 'oci:back:app']);
  const tree = await listImage(rig.path('back'), 'app');
  expect(tree.has('etc/new') && tree.has('srv/app') && !tree.has('etc/ssl.conf')).toBe(true);
});

it('does not move a tag that somebody else has moved meanwhile', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  const at = (name: string) => `docker://${registry.host}/${name}`;
  const { base } = await writeApp(rig);
  for (const name of ['app', 'ssl']) await rig.ok(['publish', name, at(`${name}:1`)]);
  await nextSsl(rig, base);
  await rig.ok(['publish', 'ssl', at('ssl:2')]);
  await rig.ok(['publish', 'ssl', at('app:moved')]);
  const moved = registry.state.manifest('app', 'moved')!;
  // The layer's mount is the first thing written: by then the update has read the tag.
  const original = registry.state.putBlob.bind(registry.state);
  registry.state.putBlob = (repository, bytes) => {
    registry.state.putManifest('app', '1', moved.bytes, moved.mediaType);
    return original(repository, bytes);
  };
  const { exitCode, stderr } = await rig.stk(['update', at('app:1'), '--apply', `ssl=${at('ssl:2')}`]);
  expect(exitCode).toBe(12);
  expect(stderr).toContain('was moved by somebody else');
  expect(registry.state.manifest('app', '1')?.digest).toBe(moved.digest);
});

it('signs the new version before its tag moves, and demands signatures of what is swapped in', async () => {
  await using rig = await StkRig.open();
  const { base } = await writeApp(rig);
  await execa('openssl', [
    'genpkey',
    '-algorithm',
    'EC',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-out',
    rig.path('key'),
  ]);
  await execa('openssl', ['pkey', '-in', rig.path('key'), '-pubout', '-out', rig.path('pub')]);
  await nextSsl(rig, base);
  const update = ['update', 'app', '--apply', 'ssl', '--require-signature', '--key', 'pub', '--sign-key', 'key'];
  const refused = await rig.stk(update);
  expect(refused.exitCode).toBe(7);
  await rig.ok(['sign', 'ssl', '--key', 'key']);
  await rig.ok(update);
  expect(await rig.ok(['verify', 'app', '--key', 'pub'])).toContain('is signed as');
});
