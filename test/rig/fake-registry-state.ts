import { randomUUID } from 'node:crypto';
import { digestOf, type Digest } from '../../src/core/digest.ts';

export interface StoredManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

export interface UploadSession {
  readonly id: string;
  readonly repository: string;
  readonly chunks: Buffer[];
  sizeBytes: number;
}

/** What a fake registry holds. */
export class FakeRegistryState {
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, StoredManifest>();
  readonly #tags = new Map<string, Map<string, Digest>>();
  readonly uploads = new Map<string, UploadSession>();

  blob(repository: string, digest: string): Buffer | undefined {
    return this.#blobs.get(`${repository}@${digest}`);
  }

  putBlob(repository: string, bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#blobs.set(`${repository}@${digest}`, Buffer.from(bytes));
    return digest;
  }

  manifest(repository: string, reference: string): (StoredManifest & { readonly digest: Digest }) | undefined {
    const digest = reference.includes(':') ? (reference as Digest) : this.#tags.get(repository)?.get(reference);
    const found = digest && this.#manifests.get(`${repository}@${digest}`);
    return found && { ...found, digest };
  }

  putManifest(repository: string, reference: string, bytes: Uint8Array, mediaType: string): Digest {
    const digest = digestOf(bytes);
    this.#manifests.set(`${repository}@${digest}`, { bytes: Buffer.from(bytes), mediaType });
    let tags = this.#tags.get(repository);
    if (!tags) this.#tags.set(repository, (tags = new Map()));
    if (!reference.includes(':')) tags.set(reference, digest);
    return digest;
  }

  /** Those that ever had a tag. */
  repositories(): readonly string[] {
    return [...this.#tags.keys()].sort();
  }

  tags(repository: string): readonly string[] | undefined {
    const tags = this.#tags.get(repository);
    return tags && [...tags.keys()].sort();
  }

  referrers(repository: string, subject: string): readonly object[] {
    const found: object[] = [];
    for (const [key, { bytes, mediaType }] of this.#manifests) {
      if (!key.startsWith(`${repository}@`)) continue;
      const document = JSON.parse(bytes.toString('utf8')) as {
        subject?: { digest?: string };
        artifactType?: string;
        config?: { mediaType?: string };
        annotations?: object;
      };
      if (document.subject?.digest !== subject) continue;
      const artifactType = document.artifactType ?? document.config?.mediaType;
      const { annotations } = document;
      found.push({
        mediaType,
        digest: key.slice(repository.length + 1),
        size: bytes.byteLength,
        artifactType,
        annotations,
      });
    }
    return found;
  }

  openUpload(repository: string): UploadSession {
    const session: UploadSession = { id: randomUUID(), repository, chunks: [], sizeBytes: 0 };
    this.uploads.set(session.id, session);
    return session;
  }
}
