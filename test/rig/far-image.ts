import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { VERITY_ROOT } from '../../src/oci/layer-annotations.ts';
import { packDirectory, withVerity, writeImage, type HandmadeLayer } from './squashfs-image.ts';
import type { StkRig } from './stk-rig.ts';

/** Content that no compressor makes smaller, by path. */
export type FarFiles = Readonly<Record<string, Buffer>>;

export function randomFiles(sizes: Readonly<Record<string, number>>): FarFiles {
  return Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, randomBytes(size)]));
}

/** A layer with the verity tree that cryptsetup makes. */
export async function verityLayer(rig: StkRig, name: string, files: FarFiles): Promise<HandmadeLayer> {
  const tree = rig.path('trees', name);
  await mkdir(tree, { recursive: true });
  await chmod(tree, 0o755);
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.join(tree, path.dirname(file)), { recursive: true });
    await writeFile(path.join(tree, file), content, { mode: 0o644 });
  }
  const { bytes, root } = await withVerity(await packDirectory(tree));
  return { bytes, annotations: { [VERITY_ROOT]: root } };
}

/** Publishes an image of such layers, and keeps it in the layout `oci` by its tag. Returns its name in the registry. */
export async function publishFar(
  rig: StkRig,
  host: string,
  layers: readonly HandmadeLayer[],
  tag = 'app',
): Promise<string> {
  await writeImage(rig.path('oci'), tag, layers);
  const name = `docker://${host}/team/${tag}:1`;
  await rig.ok(['publish', tag, name]);
  return name;
}
