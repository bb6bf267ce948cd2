import { StkError, isStkError } from '../core/errors.ts';
import { byteString, textOfByteString } from '../core/host-text.ts';
import { imagePath } from '../core/paths.ts';
import { tellDamage } from '../layer/find-fault.ts';
import type { Cover } from '../mount/cover-files.ts';
import { imageLayers, type LayeredImage } from '../mount/image-layers.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import type { MountRequest } from '../mount/mount-image.ts';
import { openLayer, openStack } from '../sources/layer-stack.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import { openSquashfs } from '../squashfs/squashfs-reader.ts';
import type { Resolved } from '../squashfs/resolve-path.ts';
import type { AccountFiles } from './bundle-user.ts';
import { coverFor } from './lent-files.ts';

/** Far beyond any real account file, or configuration. */
const MAX_ACCOUNT_BYTES = 16 * 1024 * 1024;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** A volume of more files is no place for sample data. */
const MAX_WALK_ENTRIES = 10_000;

/** What a container's configuration is made from. Symlinks are followed inside the image alone. */
export interface BundleSource extends AsyncDisposable {
  readonly config: ImageConfig;
  accountFiles(): Promise<AccountFiles>;
  /** What is at a place to mount on; the path is absolute. */
  place(path: string): Promise<Place>;
  /** What is needed on top of the image to mount a file at an absolute path, see `coverFor`. */
  cover(path: string): Promise<Cover | undefined>;
  /** Whether anybody may copy all that is below a directory: no rights are needed for it, and there is not too much. */
  isOpenToAll(path: string): Promise<boolean>;
}

export type Place =
  | { readonly type: 'directory'; readonly mode: number; readonly uid: number; readonly gid: number }
  /** Nothing. `path` is where it would be made: canonical as by `imagePath`, free of symlinks. */
  | { readonly type: 'missing'; readonly path: string }
  /** A file, a link that leads nowhere, or something below one. */
  | { readonly type: 'other' };

/**
 * Opens an image without mounting it. Throws `unsupported` for images of another operating system and what `imageLayers`
 * throws. Where what is read makes no sense, it and its methods throw `integrity` for a damaged blob.
 */
export async function openBundleSource(
  layout: LayoutStore,
  image: LayeredImage,
  { far, signal }: Pick<MountRequest, 'far' | 'signal'> = {},
): Promise<BundleSource> {
  const layers = imageLayers(layout, image, far);
  const suspects = layers.filter(layer => layer.far === undefined);
  const told = <T>(work: Promise<T>): Promise<T> => work.catch((error: unknown) => tellDamage(error, suspects, signal));
  const config = await readImageConfig(layout, image, signal);
  if (config.os !== 'linux') {
    throw new StkError('unsupported', `${image.name} is an image for ${config.os}`, {
      hint: 'only images for linux can be run here',
    });
  }
  const stack = await told(
    openStack(layers, async layer =>
      layer.far ? openSquashfs(await layer.far.open(signal), signal) : openLayer(layout, layer.descriptor, signal),
    ),
  );
  if (!stack) throw new Error(`${image.name} has no layers`);
  return {
    config,
    accountFiles: async () => ({
      passwd: await told(readText(stack, '/etc/passwd', signal)),
      group: await told(readText(stack, '/etc/group', signal)),
    }),
    place: path => told(findPlace(stack, path, signal)),
    cover: path => told(coverFor(stack, path, signal)),
    isOpenToAll: path => told(isOpenToAll(stack, path, signal)),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** The configuration of an image, checked against its digest. Throws `invalid-input` where it is malformed or huge. */
export async function readImageConfig(
  layout: LayoutStore,
  image: LayeredImage,
  signal?: AbortSignal,
): Promise<ImageConfig> {
  const descriptor = image.manifest.config;
  if (descriptor.size > MAX_CONFIG_BYTES) {
    throw new StkError('invalid-input', `${image.name}: its configuration is ${descriptor.size} bytes long`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.readBlob(descriptor, signal ? { signal } : {})) chunks.push(chunk);
  return parseImageConfig(Buffer.concat(chunks), `${image.name}: its configuration`);
}

/** A file as latin1 text; empty where there is none. */
async function readText(stack: LayerStack, path: string, signal: AbortSignal | undefined): Promise<string> {
  const found = await stack.resolve(path, signal);
  if (found?.node.inode.type !== 'file') return '';
  try {
    const options = { maxBytes: MAX_ACCOUNT_BYTES, ...(signal ? { signal } : {}) };
    return (await stack.readFile(found.node, options)).toString('latin1');
  } catch (cause) {
    if (!isStkError(cause, 'unsupported')) throw cause;
    throw new StkError('unsupported', `${path} of the image is beyond ${MAX_ACCOUNT_BYTES} bytes`, { cause });
  }
}

async function findPlace(stack: LayerStack, path: string, signal: AbortSignal | undefined): Promise<Place> {
  const names = imagePath(byteString(path)).split('/');
  let at: Resolved<MergedNode> = { path: '', node: await stack.root(signal) };
  for (const [index, name] of names.entries()) {
    if (name === '') continue;
    if (at.node.inode.type !== 'directory') return { type: 'other' };
    const below = joinParts(at.path, name);
    const next = await stack.resolve(below, signal);
    if (next) at = next;
    else if (await stack.lookup(below, signal)) return { type: 'other' };
    else return { type: 'missing', path: textOfByteString(joinParts(at.path, ...names.slice(index))) };
  }
  const { inode } = at.node;
  if (inode.type !== 'directory') return { type: 'other' };
  return { type: 'directory', mode: inode.mode, uid: inode.uid, gid: inode.gid };
}

async function isOpenToAll(stack: LayerStack, path: string, signal: AbortSignal | undefined): Promise<boolean> {
  const found = await stack.resolve(byteString(path), signal);
  if (!found) return true;
  let left = MAX_WALK_ENTRIES;
  for await (const { node } of stack.walk({ path: found.path, ...(signal ? { signal } : {}) })) {
    const { type, mode } = node.inode;
    const needed = { directory: 0o005, file: 0o004, symlink: 0 }[type as string];
    if (needed === undefined || (mode & needed) !== needed || --left < 0) return false;
  }
  return true;
}

function joinParts(...parts: readonly string[]): string {
  return parts.filter(part => part !== '').join('/');
}
