import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { nextSsl, tagDigest, writeApp } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { writeIndex } from '../rig/image-index.ts';
import { applyList, inRole, packFiles, writeStack, type StackLayer } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'registry', 'tool:skopeo', 'tool:veritysetup', 'tool:mksquashfs');

const AMD64 = { os: 'linux', architecture: 'amd64' };
const S390X = { os: 'linux', architecture: 's390x' };

interface Index {
  readonly manifests: readonly { readonly digest: string; readonly platform?: { readonly architecture: string } }[];
}

/** A tag `app` for an index of two images that apply `ssl`, and one that does not. */
async function writeMulti(rig: StkRig): Promise<{ readonly base: StackLayer; readonly images: readonly string[] }> {
  const { base, ssl, run, digest } = await writeApp(rig, 'one');
  const applied = await tagDigest(rig, 'ssl');
  const own = inRole(await packFiles({ 'srv/app': 'other' }), 'run');
  const other = await writeStack(rig.path('oci'), 'two', {
    layers: [base, inRole(ssl, 'apply', { 'dev.stk.apply.name': 'ssl' }), own],
    annotations: applyList([{ name: 'ssl', ref: 'ssl', digest: applied }]),
  });
  const plain = await writeStack(rig.path('oci'), 'three', { layers: [base, run] });
  await writeIndex(rig.path('oci'), 'app', [
    { digest, platform: AMD64 },
    { digest: other, platform: S390X },
    { digest: plain, platform: { os: 'linux', architecture: 'riscv64' } },
  ]);
  return { base, images: [digest, other, plain] };
}

async function indexOf(rig: StkRig, tag: string): Promise<Index> {
  const top = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const entry = top.manifests.find(each => each.annotations?.['org.opencontainers.image.ref.name'] === tag);
  const bytes = await readFile(rig.path(`oci/blobs/sha256/${entry!.digest.slice(7)}`));
  expect(digestOf(bytes)).toBe(entry!.digest);
  return JSON.parse(bytes.toString('utf8')) as Index;
}

it('updates every image of an index that applies it, and moves the tag once', async () => {
  await using rig = await StkRig.open();
  const { base, images } = await writeMulti(rig);
  await nextSsl(rig, base);
  const looked = JSON.parse(await rig.ok(['update', 'app', '--apply', 'ssl', '--dry-run', '--json'])) as object[];
  expect(looked).toMatchObject([
    { outcome: 'would-update', from: images[0], platform: 'linux/amd64' },
    { outcome: 'would-update', from: images[1] },
  ]);
  const done = JSON.parse(await rig.ok(['update', 'app', '--apply', 'ssl', '--json'])) as { to: string }[];
  const { manifests } = await indexOf(rig, 'app');
  expect(manifests.map(entry => entry.digest)).toEqual([done[0]!.to, done[1]!.to, images[2]]);
  expect(manifests.map(entry => entry.platform?.architecture)).toEqual(['amd64', 's390x', 'riscv64']);
  for (const platform of ['linux/amd64', 'linux/s390x']) {
    expect(await rig.ok(['ls', 'app:/etc', '--platform', platform])).toContain('new\n');
    await rig.ok(['verify', 'app', '--platform', platform]);
  }
  expect(await rig.ok(['update', 'app', '--apply', 'ssl'])).toMatch(/up to date\n.*up to date\n$/);
  await rig.ok(['gc', '--no-keep-cache']);
  await rig.ok(['verify', 'app', '--platform', 'linux/riscv64']);
});

it('updates the image of one platform under another tag, in a layout and on a registry', async () => {
  await using rig = await StkRig.open();
  const { base, images } = await writeMulti(rig);
  await using registry = await rig.registry();
  const remote = `docker://${registry.host}/team/app:1`;
  const send = async (tag: string, to: string) =>
    execa('skopeo', ['copy', '-q', '--all', '--dest-tls-verify=false', `oci:${rig.path('oci')}:${tag}`, to]);
  await send('app', remote);
  await nextSsl(rig, base);
  await send('ssl', `docker://${registry.host}/team/ssl:1`);
  await rig.ok(['update', 'app', '--apply', 'ssl', '--platform', 'linux/s390x', '--tag', 'app2']);
  const local = await indexOf(rig, 'app2');
  expect(local.manifests.map(entry => entry.digest === images[0])).toEqual([true, false, false]);
  expect(local.manifests[1]!.digest).not.toBe(images[1]);
  expect((await indexOf(rig, 'app')).manifests.map(entry => entry.digest)).toEqual(images);
  const from = `ssl=docker://${registry.host}/team/ssl:1`;
  await rig.ok(['update', remote, '--apply', from, '--platform', 'linux/s390x']);
  const inspected = await execa('skopeo', ['inspect', '--raw', '--tls-verify=false', remote]);
  const after = JSON.parse(inspected.stdout) as Index;
  expect(after.manifests.map(entry => images.includes(entry.digest))).toEqual([true, false, true]);
  await rig.ok(['verify', remote, '--platform', 'linux/s390x']);
  expect(await rig.stk(['update', 'app', '--apply', 'ssl', '--platform', 'linux/arm'])).toMatchObject({ exitCode: 8 });
  const plain = await rig.stk(['update', 'app', '--apply', 'ssl', '--platform', 'linux/riscv64']);
  expect(plain).toMatchObject({ exitCode: 8 });
  expect(plain.stderr).toContain('does not apply ssl');
});

it('finds indexes among all of a layout', async () => {
  await using rig = await StkRig.open();
  const { base, images } = await writeMulti(rig);
  await nextSsl(rig, base);
  const outcomes = JSON.parse(await rig.ok(['update', '--all', '--apply', 'ssl', '--json'])) as { tag: string }[];
  expect(outcomes.map(({ tag }) => tag).toSorted()).toEqual(['app', 'app', 'one', 'two']);
  expect((await indexOf(rig, 'app')).manifests[2]!.digest).toBe(images[2]);
});
