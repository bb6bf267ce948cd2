import { execa } from 'execa';
import { expect, it } from 'vitest';
import { nextSsl, writeApp } from '../rig/applied-app.ts';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { layerDigest } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listImage } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'tool:veritysetup', 'tool:mksquashfs');

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

it('updates the others beside one that is broken, and reads each manifest once', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  const at = (name: string) => `docker://${registry.host}/team/${name}`;
  const { base } = await writeApp(rig);
  for (const name of ['app:1', 'app:2', 'ssl:1']) await rig.ok(['publish', name.split(':')[0]!, at(name)]);
  await nextSsl(rig, base);
  await rig.ok(['publish', 'ssl', at('ssl:2')]);
  const { bytes, mediaType } = registry.state.manifest('team/app', '1')!;
  const manifest = JSON.parse(bytes.toString()) as { config: object; annotations: Record<string, string> };
  const broken = { ...manifest, annotations: { ...manifest.annotations, 'dev.stk.apply': 'nonsense' } };
  const gone = { ...manifest, config: { ...manifest.config, digest: `sha256:${'0'.repeat(64)}` } };
  registry.state.putManifest('team/app', 'broken', Buffer.from(JSON.stringify(broken)), mediaType);
  registry.state.putManifest('team/app', 'gone', Buffer.from(JSON.stringify(gone)), mediaType);
  registry.requests.length = 0;
  const { exitCode, stderr, stdout } = await rig.stk([
    'update',
    '--all',
    '--apply',
    `ssl=${at('ssl:2')}`,
    at('app'),
    '--json',
  ]);
  expect(exitCode).not.toBe(0);
  expect(exitCode).not.toBe(1);
  expect(stderr).toContain('2 of 4 images could not be updated');
  const outcomes = JSON.parse(stdout) as { image: string; outcome: string }[];
  expect(outcomes.map(({ image, outcome }) => `${image.split(':').at(-1)} ${outcome}`).toSorted()).toEqual([
    '1 updated',
    '2 updated',
    'broken failed',
    'gone failed',
  ]);
  for (const tag of ['1', '2']) expect(registry.count(new RegExp(`^GET .*/team/app/manifests/${tag}$`))).toBe(1);
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

it('merges by ranges on a registry what several images and the application changed', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  const at = (name: string) => `docker://${registry.host}/team/${name}`;
  const lines = 'a\nb\nc\nd\ne\n';
  const big = Buffer.alloc(3_000_000, 'incompressible').map((_, index) => (index * 7919 + (index >> 7)) % 251);
  await rig.write('big', big);
  const recipe = (ssl: string) => ({
    base: {
      from: 'scratch',
      imports: [...busybox, { path: 'big', dest: '/opt/' }],
      run: install('/list', lines),
    },
    ssl: onBase(install('/ssl', ssl), `/bin/busybox sed -i s/^a$/${ssl}/ /list`),
    tool: onBase(install('/tool', 'tool'), '/bin/busybox sed -i s/^c$/tool/ /list'),
    app: { ...onBase(install('/app', 'app'), '/bin/busybox sed -i s/^e$/app/ /list'), apply: ['ssl', 'tool'] },
  });
  await rig.write('stacker.yaml', recipe('one'));
  await rig.ok(['build']);
  for (const name of ['ssl', 'tool', 'app']) await rig.ok(['publish', name, `${at(name)}:1`]);
  await rig.write('stacker.yaml', recipe('two'));
  await rig.ok(['build']);
  await rig.ok(['publish', 'ssl', `${at('ssl')}:2`]);
  registry.requests.length = 0;
  const stdout = await rig.ok(['update', `${at('app')}:1`, '--apply', `ssl=${at('ssl')}:2`, '--json']);
  const [outcome] = JSON.parse(stdout) as [{ bytesSent: number; merged: { path: string; driver: string }[] }];
  expect(new Set(outcome.merged.map(({ path, driver }) => `${path} ${driver}`))).toEqual(new Set(['/list text']));
  expect(outcome.bytesSent).toBeLessThan(100_000);
  expect(bytesRead(registry)).toBeLessThan(1_000_000);
  await rig.ok(['publish', `${at('app')}:1`, 'oci:back:app']);
  const [updated, rebuilt] = [await listImage(rig.path('back'), 'app'), await listImage(rig.path('oci'), 'app')];
  expect(differences(updated, rebuilt, /^$/)).toEqual([]);
});

const busybox = [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }];

function install(file: string, content: string): string {
  return `#!/bin/busybox sh\n/bin/busybox printf '%s' '${content}' > ${file}`;
}

function onBase(run: string, then: string): object {
  return { from: { type: 'built', tag: 'base' }, run: `${run}\n${then}` };
}

/** What the client was sent of blobs. */
function bytesRead(registry: FakeRegistry): number {
  return registry.requests.reduce((sum, { method, url, headers }) => {
    if (method !== 'GET' || !url.includes('/blobs/')) return sum;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    return sum + (to === undefined ? 0 : Number(to) - Number(from) + 1);
  }, 0);
}
