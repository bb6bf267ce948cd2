import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

const NAME = 'org.opencontainers.image.ref.name';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

type IndexBody = { readonly mediaType: string } & Readonly<Record<string, unknown>>;

interface Entry {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Writes an index over images of a layout that were written before, and tags it; returns its digest. */
export async function writeIndex(
  layout: string,
  tag: string,
  images: readonly { readonly digest: string; readonly platform?: { os: string; architecture: string } }[],
): Promise<string> {
  const manifests = [];
  for (const { digest, platform } of images) {
    const { size } = await stat(path.join(layout, 'blobs/sha256', digest.slice(7)));
    manifests.push({ mediaType: MANIFEST, digest, size, ...(platform && { platform }) });
  }
  return writeDocument(layout, { schemaVersion: 2, mediaType: INDEX, manifests }, tag);
}

/** Writes an artifact about an image, as signatures are; under a tag, or found by its subject alone. */
export async function writeArtifact(layout: string, subject: string, tag?: string): Promise<string> {
  const blob = await putBlob(layout, '{}');
  const { size } = await stat(path.join(layout, 'blobs/sha256', subject.slice(7)));
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', ...blob };
  return writeDocument(
    layout,
    {
      schemaVersion: 2,
      mediaType: MANIFEST,
      artifactType: 'application/vnd.example.note',
      config,
      layers: [config],
      subject: { mediaType: MANIFEST, digest: subject, size },
    },
    tag,
  );
}

async function writeDocument(layout: string, body: IndexBody, tag: string | undefined): Promise<string> {
  const blob = await putBlob(layout, JSON.stringify(body));
  const file = path.join(layout, 'index.json');
  const top = JSON.parse(await readFile(file, 'utf8')) as { manifests: Entry[] };
  const others = top.manifests.filter(entry => tag === undefined || entry.annotations?.[NAME] !== tag);
  const entry = { mediaType: body.mediaType, ...blob, ...(tag === undefined ? {} : { annotations: { [NAME]: tag } }) };
  await writeFile(file, JSON.stringify({ ...top, manifests: [...others, entry] }));
  return blob.digest;
}

async function putBlob(layout: string, text: string): Promise<{ digest: string; size: number }> {
  const hex = createHash('sha256').update(text).digest('hex');
  await writeFile(path.join(layout, 'blobs/sha256', hex), text, { mode: 0o644 });
  return { digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
}
