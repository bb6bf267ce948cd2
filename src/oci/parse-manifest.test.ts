import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { jsonDocument } from './compose.ts';
import { parseImageConfig, parseIndex, parseManifest } from './parse-manifest.ts';

const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf('{}'), size: 2 };
const bytesOf = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

/** Lists that a program written in Go means to be empty. */
const EMPTY = [[], null, undefined];

describe('an empty list as programs write it', () => {
  it.each(EMPTY)('of layers: %j', layers => {
    const parsed = parseManifest(bytesOf({ schemaVersion: 2, config: CONFIG, layers }), 'image');
    expect(parsed).toMatchObject({ kind: 'manifest', manifest: { layers: [], config: CONFIG } });
  });

  it.each(EMPTY)('of diff IDs and history: %j', list => {
    for (const rootfs of [{ type: 'layers', diff_ids: list }, list ?? undefined]) {
      const text = bytesOf({ architecture: 'amd64', os: 'linux', rootfs: Array.isArray(rootfs) ? {} : rootfs, history: list });
      expect(parseImageConfig(text, 'config')).toMatchObject({ rootfs: { type: 'layers', diff_ids: [] } });
    }
  });

  it.each(EMPTY)('of images: %j', manifests => {
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    expect(parseIndex(bytesOf({ schemaVersion: 2, manifests }), 'index').manifests).toEqual([]);
    expect(parseManifest(bytesOf({ schemaVersion: 2, mediaType, manifests }), 'index')).toMatchObject({
      kind: 'index',
      manifest: { manifests: [] },
    });
  });

  it('tells an index of none without a media type from an image', () => {
    expect(parseManifest(bytesOf({ schemaVersion: 2, manifests: null }), 'index').kind).toBe('index');
  });

  it.each([7, {}, 'x', [7]])('is not %j', list => {
    for (const document of [
      { schemaVersion: 2, config: CONFIG, layers: list },
      { schemaVersion: 2, manifests: list },
    ]) {
      expect(() => parseManifest(bytesOf(document), 'x')).toThrowError(expect.objectContaining({ code: 'invalid-input' }));
    }
    const config = { architecture: 'amd64', os: 'linux', rootfs: { diff_ids: list } };
    expect(() => parseImageConfig(bytesOf(config), 'x')).toThrowError(expect.objectContaining({ code: 'invalid-input' }));
  });
});

describe('null for what is not there', () => {
  it('is read in every member that may be missing', () => {
    const layer = { ...CONFIG, annotations: null, platform: null, urls: null, data: null };
    const document = { schemaVersion: 2, config: layer, layers: [layer], annotations: null, subject: null, artifactType: null };
    expect(parseManifest(bytesOf(document), 'image').manifest).toEqual({
      schemaVersion: 2,
      config: CONFIG,
      layers: [CONFIG],
      [Object.getOwnPropertySymbols(parseManifest(bytesOf(document), 'image').manifest)[0]!]: expect.any(String) as string,
    });
    const settings = { Env: null, Cmd: null, Entrypoint: null, Labels: null, Volumes: null, User: null, OnBuild: null };
    const config = { architecture: 'amd64', os: 'linux', config: settings, rootfs: { type: 'layers', diff_ids: null } };
    expect(parseImageConfig(bytesOf(config), 'config').config).toEqual({});
  });

  it('stays in what is written anew', () => {
    const digest = digestOf('layer');
    const text =
      `{"schemaVersion":2,"config":{"size":2,"digest":"${CONFIG.digest}","mediaType":"${CONFIG.mediaType}","urls":null},` +
      `"layers":[{"mediaType":"x","digest":"${digest}","size":12345678901,"annotations":null,"x-seen":1e400}],"annotations":null,"n":12345678901234567890}`;
    const { manifest } = parseManifest(bytesOf(text), 'image');
    expect(Buffer.from(jsonDocument({ ...manifest }, 'x').bytes).toString()).toBe(text);
    const changed = { ...manifest, annotations: { a: 'b' } };
    expect(Buffer.from(jsonDocument(changed, 'x').bytes).toString()).toBe(text.replace('"annotations":null,"n"', '"annotations":{"a":"b"},"n"'));
  });
});
