import type { Digest } from '../core/digest.ts';
import { isDigest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { parseManifest, type ParsedManifest } from '../oci/parse-manifest.ts';
import { isUnusable } from '../oci/unusable-document.ts';
import { contentKey } from '../plan/content-key.ts';
import type { RecordCache } from '../sources/record-cache.ts';

/** A manifest or index, and its digest. */
export interface KnownDocument {
  readonly digest: Digest;
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
    const parsed = typeof known === 'string' ? parsedText(known, name) : undefined;
    if (parsed) return { digest, parsed };
    const { descriptor, bytes } = await store.readManifest(digest, { signal });
    const fresh = parseManifest(bytes, name);
    await this.#records.put('manifest', key, Buffer.from(bytes).toString('utf8'));
    return { digest: descriptor.digest, parsed: fresh };
  }
}

function parsedText(text: string, name: string): ParsedManifest | undefined {
  try {
    return parseManifest(Buffer.from(text), name);
  } catch (error) {
    if (isUnusable(error)) return undefined;
    throw error;
  }
}
