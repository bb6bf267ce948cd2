import type { JsonValue } from '../core/canonical-json.ts';
import { isDigest } from '../core/digest.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import type { Platform } from '../oci/descriptor.ts';
import { contentKey } from '../plan/content-key.ts';
import { resolveImage, type ResolvedImage } from '../oci/platform.ts';
import type { RecordCache } from './record-cache.ts';

/**
 * Manifest and configuration of an image, remembered by the digest that the reference stands for: what a digest names
 * never changes, so a pinned image is not asked for again, and of a tag only where it points. Only bytes that were
 * verified are remembered; a registry that lies about a tag can name another image, but not forge one.
 */
export async function resolveRemembered(
  store: BlobStore,
  reference: string,
  platform: Platform,
  records: RecordCache,
  signal: AbortSignal | undefined,
): Promise<ResolvedImage> {
  const options = signal ? { signal } : {};
  const digest = isDigest(reference) ? reference : (await store.resolve(reference, options))?.digest;
  const key = digest && contentKey('manifest', digest, { ...platform });
  const known = key && asResolvedImage(await records.get('manifest', key));
  if (known) return known;
  const image = await resolveImage(store, digest ?? reference, platform, options);
  const { descriptor, manifest, config } = image;
  if (key) await records.put('manifest', key, { descriptor, manifest, config } as unknown as JsonValue);
  return image;
}

function asResolvedImage(value: JsonValue | undefined): ResolvedImage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const image = value as unknown as ResolvedImage;
  const isWhole = isDigest(image.descriptor?.digest) && Array.isArray(image.manifest?.layers) && image.config?.rootfs;
  return isWhole ? image : undefined;
}
