import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { composeImage, jsonDocument } from './compose.ts';
import type { Descriptor } from './descriptor.ts';
import { collectGarbage } from './gc.ts';
import { LayoutStore } from './layout.ts';
import { MediaType } from './media-types.ts';

const run = promisify(execFile);
let home: AbsPath;
let layout: LayoutStore;

beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-layout-'))) as AbsPath;
  layout = await LayoutStore.create(`${home}/oci` as AbsPath);
});
afterEach(() => rm(home, { recursive: true }));

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function blob(text: string, mediaType: string = MediaType.layerTar): Descriptor & { readonly bytes: Buffer } {
  const bytes = Buffer.from(text);
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength, bytes };
}

/** Puts an image with one layer under a tag; returns all its digests. */
async function putImage(tag: string, content: string): Promise<readonly Descriptor[]> {
  const layer = blob(content);
  await layout.putBlob(layer, () => once(layer.bytes));
  const { config, manifest } = composeImage({
    platform: { os: 'linux', architecture: 'amd64' },
    base: undefined,
    baseLayers: [],
    added: [
      { layer: { descriptor: layer, diffId: layer.digest }, created: '2020-01-01T00:00:00Z', createdBy: 'test' },
    ],
    config: {},
    annotations: {},
    created: '2020-01-01T00:00:00Z',
  });
  await layout.putBlob(config.descriptor, () => once(config.bytes));
  await layout.putManifest(manifest, tag);
  return [manifest.descriptor, config.descriptor, layer];
}

describe('LayoutStore', () => {
  it.each(['index.json', 'oci-layout'])('does not wait for a pipe in place of %s', async name => {
    const file = path.join(layout.directory, name);
    await rm(file);
    await run('mkfifo', [file]);
    const opening = LayoutStore.open(layout.directory).then(store => store.tags());
    await expect(opening).rejects.toMatchObject({ code: expect.stringMatching(/^(invalid-input|not-found)$/) });
  });

  it('reads no index of more than 32 MiB', async () => {
    await truncate(path.join(layout.directory, 'index.json'), 33 * 1024 * 1024);
    await expect(layout.tags()).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('finds referrers beside a damaged manifest, and believes none that is', async () => {
    const [subject] = await putImage('app', 'layer');
    const refer = async (text: string) => {
      const manifest = jsonDocument(
        {
          schemaVersion: 2,
          mediaType: MediaType.manifest,
          artifactType: 'application/test',
          config: blob(text, 'application/vnd.oci.empty.v1+json'),
          layers: [],
          subject,
        },
        MediaType.manifest,
      );
      await layout.putManifest(manifest);
      return manifest.descriptor;
    };
    const [good, bad] = [await refer('{}'), await refer('[]')];
    const file = layout.blobPath(bad.digest);
    const text = await readFile(file, 'utf8');
    await rm(file);
    await writeFile(file, text.replace('application/test', 'application/evil'));
    expect((await layout.referrers(subject!.digest)).map(({ digest }) => digest)).toEqual([good.digest]);
  });

  it('is a layout that umoci lists and skopeo inspects', async () => {
    await putImage('app', 'layer');
    expect((await run('umoci', ['ls', '--layout', layout.directory])).stdout.trim()).toBe('app');
    const { stdout } = await run('skopeo', ['inspect', '--raw', `oci:${layout.directory}:app`]);
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 2, layers: [{ size: 5 }] });
  });

  it('refuses bytes that do not match and leaves nothing', async () => {
    const wrong = { ...blob('right'), digest: digestOf('other') };
    await expect(layout.putBlob(wrong, () => once(Buffer.from('right')))).rejects.toMatchObject({ code: 'integrity' });
    const endless = async function* (): AsyncIterable<Uint8Array> {
      for (;;) yield Buffer.alloc(1 << 16);
    };
    await expect(layout.putBlob(wrong, endless)).rejects.toMatchObject({ code: 'integrity' });
    expect(await readdir(`${layout.directory}/blobs/sha256`)).toEqual([]);
    expect(await readdir(layout.directory)).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it('finds a damaged blob when it is read', async () => {
    const good = blob('good');
    await layout.putBlob(good, () => once(good.bytes));
    await writeFile(layout.blobPath(good.digest), 'evil');
    const read = async () => {
      for await (const chunk of layout.readBlob(good)) void chunk;
    };
    await expect(read()).rejects.toMatchObject({ code: 'integrity' });
  });

  it('keeps every tag when many writers change the index at once', async () => {
    const names = Array.from({ length: 12 }, (_, n) => `image-${n}`);
    const { descriptor, bytes } = jsonDocument({ schemaVersion: 2, manifests: [] }, MediaType.index);
    const others = await Promise.all(names.map(() => LayoutStore.open(layout.directory)));
    await Promise.all(names.map((name, n) => others[n]!.putManifest({ descriptor, bytes }, name)));
    expect([...(await layout.tags())].sort()).toEqual([...names].sort());
  });

  it('does not write the index when a tag stays where it is', async () => {
    await putImage('app', 'layer');
    const before = await readFile(`${layout.directory}/index.json`);
    await putImage('app', 'layer');
    expect(await readFile(`${layout.directory}/index.json`)).toEqual(before);
  });

  it('moves a tag and forgets one', async () => {
    await putImage('app', 'one');
    const [second] = await putImage('app', 'two');
    expect((await layout.resolve('app'))?.digest).toBe(second!.digest);
    await layout.untag('app');
    expect(await layout.tags()).toEqual([]);
    await expect(layout.readManifest('app')).rejects.toMatchObject({ code: 'not-found' });
  });

  it.each([
    [
      'no layout',
      async (dir: string) => {
        await mkdir(dir);
      },
      'not-found',
    ],
    [
      'a foreign version',
      async (dir: string) => {
        await mkdir(dir);
        await writeFile(`${dir}/oci-layout`, '{"imageLayoutVersion":"9.0"}');
      },
      'invalid-input',
    ],
  ])('refuses %s', async (_name, prepare, code) => {
    await prepare(`${home}/other`);
    await expect(LayoutStore.open(`${home}/other` as AbsPath)).rejects.toMatchObject({ code });
  });

  it.each(['[]', '{', '{"schemaVersion":2,"manifests":[{"digest":"../../etc/passwd"}]}', '\0'])(
    'reports a damaged index: %s',
    async text => {
      await writeFile(`${layout.directory}/index.json`, text);
      await expect(layout.tags()).rejects.toMatchObject({ code: 'invalid-input' });
    },
  );
});

describe('collectGarbage', () => {
  it('goes on around a tagged manifest whose fields are wrong', async () => {
    const bytes = Buffer.from('{"schemaVersion":2,"config":1}');
    const descriptor = { mediaType: MediaType.manifest, digest: digestOf(bytes), size: bytes.byteLength };
    await layout.putManifest({ descriptor, bytes }, 'broken');
    const kept = await putImage('app', 'layer');
    const garbage = blob('garbage');
    await layout.putBlob(garbage, () => once(garbage.bytes));
    const removed = await collectGarbage(layout, { keep: [], dryRun: false });
    expect(removed.map(({ digest }) => digest)).toEqual([garbage.digest]);
    for (const each of [descriptor, ...kept]) expect(await layout.hasBlob(each)).toBe(true);
  });

  it('removes nothing where a manifest cannot be read', async () => {
    const [manifest, config, layer] = await putImage('app', 'layer');
    const file = layout.blobPath(manifest!.digest);
    await rm(file);
    await symlink(file, file);
    await expect(collectGarbage(layout, { keep: [], dryRun: false })).rejects.toThrow();
    for (const each of [config!, layer!]) expect(await layout.hasBlob(each)).toBe(true);
  });

  it('keeps what a manifest among the blobs to keep names', async () => {
    const image = await putImage('app', 'layer');
    await layout.untag('app');
    expect(await collectGarbage(layout, { keep: [image[0]!.digest], dryRun: false })).toEqual([]);
    for (const each of image) expect(await layout.hasBlob(each)).toBe(true);
  });

  it('removes what nothing reaches, and only that', async () => {
    const kept = await putImage('app', 'kept');
    const lost = await putImage('old', 'lost');
    const cached = blob('in a cache record');
    await layout.putBlob(cached, () => once(cached.bytes));
    await layout.untag('old');
    const dry = await collectGarbage(layout, { keep: [cached.digest], dryRun: true });
    expect(dry.map(entry => entry.digest).sort()).toEqual(lost.map(entry => entry.digest).sort());
    await collectGarbage(layout, { keep: [cached.digest], dryRun: false });
    const left = await readdir(`${layout.directory}/blobs/sha256`);
    expect(left.map(name => `sha256:${name}`).sort()).toEqual([...kept, cached].map(entry => entry.digest).sort());
  });

  it('waits for a build that adds blobs', async () => {
    const lock = await layout.lockBlobs('shared');
    let waited = false;
    await collectGarbage(layout, {
      keep: [],
      dryRun: false,
      onWait: () => {
        waited = true;
        void lock[Symbol.asyncDispose]();
      },
    });
    expect(waited).toBe(true);
  });

  it('takes away temporary directories of the dead and leaves those of the living', async () => {
    await mkdir(`${layout.directory}/.stk-tmp-dead`);
    await using living = await layout.makeTemp();
    await collectGarbage(layout, { keep: [], dryRun: false });
    const names = (await readdir(layout.directory)).filter(name => name.startsWith('.stk-tmp'));
    expect(names).toEqual([path.basename(living.path)]);
  });
});
