import type { JsonValue } from '../core/canonical-json.ts';
import { isDigest } from '../core/digest.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { SOURCE_TEXT, type Descriptor, type Platform } from '../oci/descriptor.ts';
import { isUnusable } from '../oci/unusable-document.ts';
import { parseImageConfig, parseManifest } from '../oci/parse-manifest.ts';
import { contentKey } from '../plan/content-key.ts';
import { resolveImage, type ResolvedImage } from '../oci/resolve-image.ts';
import type { RecordCache } from './record-cache.ts';

export interface RememberedName {
  readonly store: BlobStore;
  /** Tag or digest. */
  readonly reference: string;
  readonly platform: Platform;
}

/**
 * Manifest and configuration of an image, remembered by the digest that the reference stands for: what a digest names
 * never changes, so a pinned image is not asked for again, and of a tag only where it points. Only bytes that were
 * verified are remembered; a registry that lies about a tag can name another image, but not forge one.
 */
export async function resolveRemembered(
  { store, reference, platform }: RememberedName,
  records: RecordCache,
  signal: AbortSignal | undefined,
): Promise<ResolvedImage> {
  const options = signal ? { signal } : {};
  const digest = isDigest(reference) ? reference : (await store.resolve(reference, options))?.digest;
  const key = digest && contentKey('manifest', digest, { ...platform });
  const known = key && asResolvedImage(await records.get('manifest', key), reference);
  if (known) return known;
  const { indexes: _indexes, ...image } = await resolveImage(store, digest ?? reference, platform, options);
  if (key) await records.put('manifest', key, asRecord(image));
  return image;
}

/** Documents by their text: what is read back is the same as what was read, to the last digit. */
function asRecord({ descriptor, manifest, config }: ResolvedImage): JsonValue {
  const texts = { manifest: manifest[SOURCE_TEXT], config: config[SOURCE_TEXT] };
  return { descriptor: descriptor as unknown as JsonValue, ...texts };
}

function asResolvedImage(value: JsonValue | undefined, name: string): ResolvedImage | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { descriptor, manifest, config } = value as unknown as Record<string, unknown>;
  if (typeof manifest !== 'string' || typeof config !== 'string' || !isDescriptor(descriptor)) return undefined;
  try {
    const parsed = parseManifest(Buffer.from(manifest), name);
    if (parsed.kind !== 'manifest') return undefined;
    return { descriptor, manifest: parsed.manifest, config: parseImageConfig(Buffer.from(config), name) };
  } catch (error) {
    if (isUnusable(error)) return undefined;
    throw error;
  }
}

function isDescriptor(value: unknown): value is Descriptor {
  return typeof value === 'object' && value !== null && 'digest' in value && isDigest(value.digest);
}
