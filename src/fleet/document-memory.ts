import { digestOf, isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore, ManifestBytes } from '../oci/blob-store.ts';
import { parseManifest, type ParsedManifest } from '../oci/parse-manifest.ts';
import { isUnusable } from '../oci/unusable-document.ts';
import { contentKey } from '../plan/content-key.ts';
import type { RecordCache } from '../sources/record-cache.ts';

/** A manifest or index as it is stored, and what it says. */
export interface KnownDocument extends ManifestBytes {
  readonly parsed: ParsedManifest;
}

/**
 * Manifests and indexes by digest, which never change: of a tag that still stands for what it did, a registry is asked for its
 * digest alone. Only bytes that were verified are remembered.
 */
export class DocumentMemory {
  readonly #records: RecordCache;

  constructor(records: RecordCache) {
    this.#records = records;
  }

  /** What a tag or digest stands for now. Throws `not-found`, and as `readManifest` does. */
  async read(store: BlobStore, reference: string, name: string, signal: AbortSignal): Promise<KnownDocument> {
    const digest = isDigest(reference) ? reference : (await store.resolve(reference, { signal }))?.digest;
    if (digest === undefined) throw new StkError('not-found', `there is no ${name}`, { facts: { reference } });
    const key = contentKey('document', digest, null);
    const known = await this.#records.get('manifest', key);
    const remembered = typeof known === 'string' ? parsedText(known, digest, name) : undefined;
    if (remembered) return remembered;
    const { descriptor, bytes } = await store.readManifest(digest, { signal });
    const parsed = parseManifest(bytes, name);
    await this.#records.put('manifest', key, Buffer.from(bytes).toString('utf8'));
    const { mediaType, size } = descriptor;
    return { descriptor: { mediaType, digest, size }, bytes, parsed };
  }
}

/** What is not the very bytes, such as a text that is no UTF-8, is not remembered. */
function parsedText(text: string, digest: Digest, name: string): KnownDocument | undefined {
  const bytes = Buffer.from(text);
  if (digestOf(bytes) !== digest) return undefined;
  try {
    const parsed = parseManifest(bytes, name);
    return { descriptor: { mediaType: parsed.mediaType, digest, size: bytes.byteLength }, bytes, parsed };
  } catch (error) {
    if (isUnusable(error)) return undefined;
    throw error;
  }
}
