import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { jsonDocument } from '../oci/compose.ts';
import { MediaType } from '../oci/media-types.ts';
import { replaceInIndex } from './update-index.ts';

const entry = (name: string, more: object = {}) => ({
  mediaType: MediaType.manifest,
  digest: digestOf(name),
  size: name.length,
  ...more,
});

it('puts new manifests in the place of old ones and keeps what the index says besides', () => {
  const manifests = [
    entry('one', { platform: { os: 'linux', architecture: 'amd64' }, annotations: { a: 'b' }, data: 'b25l' }),
    entry('two'),
    entry('one', { platform: { os: 'linux', architecture: 'arm64' } }),
  ];
  const body = { schemaVersion: 2, mediaType: MediaType.index, manifests, annotations: { x: 'y' }, unknown: 1.0 };
  const old = jsonDocument(body, MediaType.index);
  const next = replaceInIndex(old, new Map([[digestOf('one'), entry('three')]]));
  expect(digestOf(next.bytes)).toBe(next.descriptor.digest);
  expect(JSON.parse(next.bytes.toString())).toEqual({
    ...body,
    manifests: [
      entry('three', { platform: { os: 'linux', architecture: 'amd64' }, annotations: { a: 'b' } }),
      entry('two'),
      entry('three', { platform: { os: 'linux', architecture: 'arm64' } }),
    ],
  });
  expect(replaceInIndex(old, new Map()).descriptor.digest).toBe(old.descriptor.digest);
});

it("makes an index of OCI of a list of Docker's", () => {
  const body = { schemaVersion: 2, mediaType: MediaType.dockerIndex, manifests: [entry('one')] };
  const next = replaceInIndex(jsonDocument(body, MediaType.dockerIndex), new Map());
  expect(next.descriptor.mediaType).toBe(MediaType.index);
  expect(JSON.parse(next.bytes.toString())).toMatchObject({ mediaType: MediaType.index });
});
