import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { SQUASHFS, packDirectory, withVerity } from './squashfs-image.ts';

/** Content by path; `undefined` deletes. */
export type Files = Readonly<Record<string, string | undefined>>;

/** A layer as a blob and what its descriptor says. */
export interface StackLayer {
  readonly bytes: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of a layer that is a compressed tar. */
  readonly tar?: { readonly mediaType: string; readonly diffId: string };
}

export interface StackImage {
  readonly layers: readonly StackLayer[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly config?: object;
  /** The whole configuration as text; `DIFF_IDS` in it stands for the list of them. */
  readonly configText?: string;
  readonly createdBy?: readonly string[];
}

/** An entry of `apply`, as the annotation of a manifest has it. */
export interface StackEntry {
  readonly name: string;
  readonly ref: string;
  readonly digest: string;
  readonly anyBase?: boolean;
  readonly conflicts?: readonly (readonly [string, string])[];
}

/** Packs files with squashfs-tools; deletions become whiteouts, which only root can make. */
export async function packFiles(
  files: Files,
  annotations: Readonly<Record<string, string>> = {},
  verity = true,
): Promise<StackLayer> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-stack-'));
  try {
    const root = path.join(scratch, 'root');
    await mkdir(root, { mode: 0o755 });
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(root, name);
      await mkdir(path.dirname(file), { recursive: true });
      if (content === undefined) await execa('mknod', [file, 'c', '0', '0']);
      else await writeFile(file, content);
    }
    const packed = await packDirectory(root);
    if (!verity) return { bytes: packed, annotations };
    const { bytes, root: hash } = await withVerity(packed);
    return { bytes, annotations: { 'io.stackeroci.stacker.atomfs_verity_root_hash': hash, ...annotations } };
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** Files as a tar that GNU tar made, as docker calls it; deletions become `.wh.` files. */
export async function tarFiles(files: Files): Promise<StackLayer> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-stack-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      const [directory, base] = [path.dirname(name), path.basename(name)];
      const file = path.join(scratch, directory, content === undefined ? `.wh.${base}` : base);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content ?? '');
    }
    const options = ['--sort=name', '--owner=0', '--group=0', '--mtime=@0', '-cf', '-', '.'];
    const { stdout } = await execa('tar', ['-C', scratch, ...options], { encoding: 'buffer' });
    const mediaType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    return { bytes: gzipSync(stdout), annotations: {}, tar: { mediaType, diffId: sha256(stdout) } };
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** The same blob in another role. */
export function inRole(layer: StackLayer, role: string, more: Readonly<Record<string, string>> = {}): StackLayer {
  return { ...layer, annotations: { ...layer.annotations, 'dev.stk.layer.role': role, ...more } };
}

export function layerDigest({ bytes }: StackLayer): string {
  return sha256(bytes);
}

/** Value of the annotation that says what an image applies. */
export function applyList(entries: readonly StackEntry[]): Record<string, string> {
  const full = entries.map(entry => ({ anyBase: false, conflicts: [], ...entry }));
  return { 'dev.stk.apply': JSON.stringify(full) };
}

/** Writes an image into a layout, making the layout where there is none, or moves its tag; returns its digest. */
export async function writeStack(layout: string, tag: string, image: StackImage): Promise<string> {
  await mkdir(path.join(layout, 'blobs/sha256'), { recursive: true });
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const layers = [];
  for (const { bytes, annotations, tar } of image.layers) {
    layers.push({ mediaType: tar?.mediaType ?? SQUASHFS, ...(await putBlob(layout, bytes)), annotations });
  }
  const history = image.createdBy?.map(created_by => ({ created_by }));
  const diff_ids = layers.map((layer, index) => image.layers[index]!.tar?.diffId ?? layer.digest);
  const settings = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: image.config ?? {},
    rootfs: { type: 'layers', diff_ids },
    ...(history ? { history } : {}),
  });
  const text = image.configText?.replace('DIFF_IDS', JSON.stringify(diff_ids)) ?? settings;
  const config = await putBlob(layout, Buffer.from(text));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const body = {
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers,
    ...(image.annotations ? { annotations: image.annotations } : {}),
  };
  const manifest = { mediaType, ...(await putBlob(layout, Buffer.from(JSON.stringify(body)))) };
  const file = path.join(layout, 'index.json');
  const NAME = 'org.opencontainers.image.ref.name';
  const index = await readFile(file, 'utf8').then(
    text => JSON.parse(text) as { manifests: { annotations?: Record<string, string> }[] },
    () => ({ schemaVersion: 2, manifests: [] }),
  );
  const others = index.manifests.filter(entry => entry.annotations?.[NAME] !== tag);
  const manifests = [...others, { ...manifest, annotations: { [NAME]: tag } }];
  await writeFile(file, JSON.stringify({ ...index, manifests }));
  return manifest.digest;
}

async function putBlob(layout: string, bytes: Uint8Array): Promise<{ digest: string; size: number }> {
  const digest = sha256(bytes);
  await writeFile(path.join(layout, 'blobs/sha256', digest.slice(7)), bytes, { mode: 0o644 });
  return { digest, size: bytes.length };
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
