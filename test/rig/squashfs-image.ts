import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';

export const SQUASHFS = 'application/vnd.stacker.image.layer.squashfs';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** A layer to be put into a layout by hand; what is not said fits the bytes. */
export interface HandmadeLayer {
  readonly bytes: Uint8Array;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** What the manifest says of the size. */
  readonly size?: number;
}

/** Packs a directory as it is, whiteouts and xattrs included, without any code of stk's. */
export async function packDirectory(directory: string, compression = 'gzip'): Promise<Buffer> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-pack-'));
  try {
    const file = path.join(scratch, 'layer');
    const options = ['-noappend', '-no-progress', '-quiet', '-processors', '1', '-comp', compression];
    await execa('mksquashfs', [directory, file, ...options]);
    return await readFile(file);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** A squashfs image of one file. */
export async function packFile(name: string, content: string, compression?: string): Promise<Buffer> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-tree-'));
  try {
    await chmod(scratch, 0o755);
    await mkdir(path.dirname(path.join(scratch, name)), { recursive: true });
    await writeFile(path.join(scratch, name), content);
    return await packDirectory(scratch, compression);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** Appends a verity tree with cryptsetup's own tool; returns the bytes and the root hash. */
export async function withVerity(bytes: Uint8Array): Promise<{ readonly bytes: Buffer; readonly root: string }> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-verity-'));
  try {
    const file = path.join(scratch, 'layer');
    const padded = Buffer.alloc(Math.ceil(bytes.length / 4096) * 4096);
    padded.set(bytes);
    await writeFile(file, padded);
    const { stdout } = await execa('veritysetup', ['format', `--hash-offset=${padded.length}`, file, file]);
    return { bytes: await readFile(file), root: /Root hash:\s*([0-9a-f]{64})/.exec(stdout)?.[1] ?? '' };
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** Writes an image into a layout, making the layout where there is none; readable to everybody. */
export async function writeImage(layout: string, tag: string, layers: readonly HandmadeLayer[]): Promise<string> {
  await mkdir(path.join(layout, 'blobs/sha256'), { recursive: true });
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const put = async (bytes: Uint8Array) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(path.join(layout, 'blobs/sha256', hex), bytes, { mode: 0o644 });
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  const descriptors = [];
  for (const { bytes, mediaType = SQUASHFS, annotations, size } of layers) {
    const blob = await put(bytes);
    descriptors.push({ mediaType, digest: blob.digest, size: size ?? blob.size, ...(annotations && { annotations }) });
  }
  const rootfs = { type: 'layers', diff_ids: descriptors.map(layer => layer.digest) };
  const config = await put(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs })));
  const body = { schemaVersion: 2, mediaType: MANIFEST, config: { mediaType: CONFIG, ...config }, layers: descriptors };
  const manifest = await put(Buffer.from(JSON.stringify(body)));
  const file = path.join(layout, 'index.json');
  const index = await readFile(file, 'utf8').then(
    text => JSON.parse(text) as { manifests: object[] },
    () => ({ schemaVersion: 2, manifests: [] as object[] }),
  );
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  index.manifests.push({ mediaType: MANIFEST, ...manifest, annotations });
  await writeFile(file, JSON.stringify(index));
  return manifest.digest;
}
