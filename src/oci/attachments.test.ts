import { expect, it } from 'vitest';
import type { Digest } from '../core/digest.ts';
import type { CallOptions } from './blob-store.ts';
import { jsonDocument, type Document } from './compose.ts';
import type { Descriptor } from './descriptor.ts';
import { MediaType } from './media-types.ts';
import { MemoryStore } from './memory-store.ts';
import { attachmentTag } from './attachment-tag.ts';
import { attachedTo } from './attachments.ts';
import { readImageGraph } from './image-graph.ts';

/** Counts what it is asked for, and how much of it at once. */
class WatchedStore extends MemoryStore {
  resolves = 0;
  mostAtOnce = 0;
  #running = 0;

  override async resolve(reference: string, options?: CallOptions): Promise<Descriptor | undefined> {
    this.resolves++;
    return super.resolve(reference, options);
  }

  override async referrers(digest: Digest, artifactType?: string): Promise<readonly Descriptor[]> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#running);
    await new Promise(resolve => void setImmediate(resolve));
    this.#running--;
    return super.referrers(digest, artifactType);
  }
}

async function putArtifact(store: MemoryStore, name: string, subject?: Descriptor, tag?: string): Promise<Document> {
  const config = jsonDocument({}, MediaType.empty).descriptor;
  const about = { annotations: { name }, ...(subject ? { subject } : {}) };
  const manifest = { schemaVersion: 2, mediaType: MediaType.manifest, config, layers: [], ...about };
  const document = jsonDocument(manifest, MediaType.manifest);
  await store.putManifest(document, tag);
  return document;
}

it.each([3, 30])('finds what belongs to each of %i images of an index, a few at a time', async count => {
  const store = new WatchedStore();
  const images: Descriptor[] = [];
  const attached: string[] = [];
  for (let index = 0; index < count; index++) {
    const { descriptor } = await putArtifact(store, `image ${index}`);
    const referrer = await putArtifact(store, `about ${index}`, descriptor);
    const signed = await putArtifact(store, `signature of what is about ${index}`, referrer.descriptor);
    const tag = attachmentTag(descriptor.digest, 'att');
    await putArtifact(store, `tagged ${index}`, undefined, tag);
    images.push(descriptor);
    attached.push(referrer.descriptor.digest, signed.descriptor.digest, tag);
  }
  const root = jsonDocument({ schemaVersion: 2, mediaType: MediaType.index, manifests: images }, MediaType.index);
  await store.putManifest(root, 'all');
  const graph = await readImageGraph(store, 'all');
  store.resolves = 0;
  const found = await attachedTo(store, graph);
  expect(
    found
      .map(
        ({
          graph: {
            root: { descriptor },
          },
          tag,
        }) => tag ?? descriptor.digest,
      )
      .toSorted(),
  ).toEqual(attached.toSorted());
  expect(store.mostAtOnce).toBeLessThanOrEqual(6);
  expect(store.mostAtOnce).toBeGreaterThan(1);
  // Reading a manifest resolves as well: that is one for each attachment.
  if (count === 30) expect(store.resolves).toBeLessThanOrEqual(attached.length);
});

it('ends where too much refers to an image, before reading it', async () => {
  const store = new WatchedStore();
  const { descriptor } = await putArtifact(store, 'image', undefined, 'v1');
  for (let index = 0; index < 1001; index++) await putArtifact(store, `about ${index}`, descriptor);
  const graph = await readImageGraph(store, 'v1');
  store.resolves = 0;
  await expect(attachedTo(store, graph)).rejects.toMatchObject({ code: 'invalid-input' });
  expect(store.resolves).toBeLessThan(5);
});
