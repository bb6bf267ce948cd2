import { readdir, readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, inspect, rawManifest } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:skopeo', 'tool:umoci', 'tool:unsquashfs');

async function zstd(bytes: Buffer): Promise<Buffer> {
  return Buffer.from((await execa('zstd', ['-c'], { input: bytes, encoding: 'buffer' })).stdout);
}

/** Content of the image as umoci and as unsquashfs see it, so that either is the other's oracle. */
async function umociTree(rig: StkRig, layout: string, tag: string): Promise<string> {
  const bundle = rig.path(`bundle-${tag}`);
  await execa('umoci', ['unpack', '--image', `${layout}:${tag}`, bundle]);
  return list(`${bundle}/rootfs`);
}

async function list(directory: string): Promise<string> {
  const script =
    'find . -mindepth 1 ! -name "*.mtree" | sort | while read f; do stat -c "%n %F %a" "$f"; done; cat etc/base etc/file';
  return (await execa('sh', ['-c', script], { cwd: directory })).stdout;
}

async function squashfsTree(rig: StkRig, layout: string, tag: string): Promise<string> {
  const manifest = JSON.parse(await rawManifest(`oci:${layout}:${tag}`)) as { layers: { digest: string }[] };
  const target = rig.path(`squashfs-${tag}`);
  for (const { digest } of manifest.layers) {
    await execa('unsquashfs', ['-f', '-d', target, `${layout}/blobs/sha256/${digest.slice(7)}`]);
  }
  return list(target);
}

it('turns tar layers into squashfs and back, keeping configuration and content', async () => {
  await using rig = await StkRig.open();
  await buildSample(rig, ['--layer-type', 'tar']);
  const before = await inspect(`oci:${rig.path('oci')}:app`, ['--config']);
  await rig.ok(['convert', 'app', 'oci:squash:app']);
  await rig.ok(['convert', 'oci:squash:app', 'oci:tar:app', '--layer-type', 'tar']);
  const { rootfs: _tar, ...config } = before;
  for (const layout of ['squash', 'tar']) {
    const { rootfs: _rootfs, ...converted } = await inspect(`oci:${rig.path(layout)}:app`, ['--config']);
    expect(converted).toEqual(config);
  }
  const original = await umociTree(rig, rig.path('oci'), 'app');
  expect(await squashfsTree(rig, rig.path('squash'), 'app')).toBe(original);
  await execa('mv', [rig.path('bundle-app'), rig.path('bundle-original')]);
  expect(await umociTree(rig, rig.path('tar'), 'app')).toBe(original);
  // Only what the image names is in the destination: three blobs more than its two layers would be leftovers.
  expect(await readdir(rig.path('tar/blobs/sha256'))).toHaveLength(4);
});

it('gives the same bytes everywhere, and converts only layers that are new', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  await buildSample(rig, ['--layer-type', 'tar']);
  const source = `docker://${registry.host}/tar`;
  for (const name of ['app', 'tool']) await rig.ok(['publish', name, `${source}/${name}:1`]);
  const convert = (name: string) => ['convert', `${source}/${name}:1`, `docker://${registry.host}/squash/${name}:1`];
  const first = await rig.stk([...convert('app'), '--progress', 'plain']);
  expect(first.stderr.match(/│ convert.*: done/g)).toHaveLength(2);
  const again = await rig.stk([...convert('app'), '--progress', 'plain']);
  expect(again.stderr).not.toMatch(/│ (convert|pull)/);
  const tool = await rig.stk([...convert('tool'), '--progress', 'plain']);
  expect(tool.stderr).not.toContain('│ convert');
  await rig.ok(['clean']);
  expect((await rig.ok([...convert('app')])).split(' ')[1]).toBe(first.stdout.split(' ')[1]);
  expect((await rig.ok(['convert', 'app', 'oci:other:app'])).split(' ')[1]).toBe(first.stdout.split(' ')[1]);
});

it.each(['docker-archive', 'oci-archive'])('reads a %s that skopeo wrote', async format => {
  await using rig = await StkRig.open();
  await buildSample(rig, ['--layer-type', 'tar']);
  const archive = rig.path('saved.tar');
  await execa('skopeo', ['copy', `oci:${rig.path('oci')}:app`, `${format}:${archive}:example.com/app:7`]);
  await rig.ok(['convert', 'saved.tar', 'oci:squash']);
  expect((await inspect(`oci:${rig.path('squash')}:7`))['Labels']).toEqual({ kind: 'sample' });
  const expected = await umociTree(rig, rig.path('oci'), 'app');
  expect(await squashfsTree(rig, rig.path('squash'), '7')).toBe(expected);
  expect(await rig.stk(['convert', 'docker-archive:saved.tar:nope', 'oci:squash'])).toMatchObject({ exitCode: 8 });
  const bytes = await readFile(archive);
  for (const [name, compressed] of [
    ['saved.tar.gz', gzipSync(bytes)],
    ['saved.tgz', gzipSync(bytes)],
    ['saved.tar.zst', await zstd(bytes)],
  ] as const) {
    await rig.write(name, compressed);
    await rig.ok(['convert', name, 'oci:inflated']);
    expect(await rawManifest(`oci:${rig.path('inflated')}:7`)).toBe(await rawManifest(`oci:${rig.path('squash')}:7`));
    await rig.write(`short-${name}`, compressed.subarray(0, compressed.length / 2));
    const broken = await rig.stk(['convert', `docker-archive:short-${name}`, 'oci:broken:x']);
    expect(broken).toMatchObject({ exitCode: 9, stderr: expect.stringContaining(`short-${name}`) as string });
  }
  // Nothing of what was decompressed is left.
  expect((await readdir(rig.path('.stk/work'))).filter(name => name.startsWith('archive'))).toEqual([]);
  await rig.write('short.tar', bytes.subarray(0, bytes.length / 2));
  await rig.write('noise.tar', bytes.fill(0x41, 512, 4096));
  // The noise lies in the first member: of a docker-archive, that is a layer.
  for (const [name, exitCode] of [
    ['short.tar', 9],
    ['noise.tar', format === 'docker-archive' ? 7 : 9],
    ['stacker.yaml', 9],
  ] as const) {
    const result = await rig.stk(['convert', `docker-archive:${name}`, 'oci:broken:x']);
    expect(result).toMatchObject({ exitCode, stderr: expect.stringContaining(name) as string });
  }
});

it('converts every image of an index, or the one that is wanted', async () => {
  await using rig = await StkRig.open();
  await buildSample(rig, ['--layer-type', 'tar']);
  const layout = rig.path('oci');
  const manifests = await Promise.all(
    ['app', 'tool'].map(async (tag, index) => {
      const bytes = await rawManifest(`oci:${layout}:${tag}`);
      const digest = digestOf(bytes);
      const platform = { os: 'linux', architecture: index === 0 ? 's390x' : 'arm64' };
      return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: bytes.length, platform };
    }),
  );
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests,
  });
  const digest = digestOf(index);
  await rig.write(`oci/blobs/sha256/${digest.slice(7)}`, index);
  const top = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as { manifests: object[] };
  top.manifests.push({
    mediaType: 'application/vnd.oci.image.index.v1+json',
    digest,
    size: index.length,
    annotations: { 'org.opencontainers.image.ref.name': 'multi' },
  });
  await rig.write('oci/index.json', top);

  expect(await rig.stk(['convert', 'multi', 'oci:out:none', '--platform', 'linux/riscv64'])).toMatchObject({
    exitCode: 8,
  });
  await rig.ok(['convert', 'multi', 'oci:out:one', '--platform', 'linux/arm64']);
  expect((await inspect(`oci:${rig.path('out')}:one`, ['--config']))['config']).toEqual({ Entrypoint: ['/bin/tool'] });
  await rig.ok(['convert', 'multi', 'oci:out:all', '--all']);
  const converted = JSON.parse(await rawManifest(`oci:${rig.path('out')}:all`)) as {
    manifests: { platform: object; digest: string }[];
  };
  expect(converted.manifests.map(entry => entry.platform)).toEqual(manifests.map(entry => entry.platform));
  const one = await rawManifest(`oci:${rig.path('out')}:one`);
  const oneDigest = digestOf(one);
  expect(converted.manifests[1]?.digest).toBe(oneDigest);
  const listed = await execa('umoci', ['ls', '--layout', rig.path('out')]);
  expect(listed.stdout.split('\n').toSorted()).toEqual(['all', 'one']);
});
