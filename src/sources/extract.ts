import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { digestHex } from '../core/digest.ts';
import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import { byteString, textOfByteString } from '../core/host-text.ts';
import { imagePath, joinInside, type AbsPath } from '../core/paths.ts';
import { access, chmod, createWriteStream, mkdir, rename, symlink } from '../host/files.ts';
import { noteUse } from '../host/note-use.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { contentKey } from '../plan/content-key.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';
import { openLayerStack } from './layer-stack.ts';
import type { BuiltImage } from './ports.ts';

const MAX_DEPTH = 512;

export interface ExtractPorts {
  readonly layout: LayoutStore;
  /** Directory of extracted copies; a copy is named by the image's layers and the path, so it is made once. */
  readonly store: AbsPath;
}

/**
 * Takes a file or directory out of an image without mounting it. Symlinks of the image are resolved inside of it up to
 * the path itself, and kept below. Owners are dropped; devices, fifos and sockets are refused.
 * @returns where the copy lies on the host; it belongs to the store
 */
export async function extractFromImage(
  image: BuiltImage,
  wanted: string,
  ports: ExtractPorts,
  signal?: AbortSignal,
): Promise<AbsPath> {
  const layers = image.layers.map(layer => layer.squashfs.digest);
  const key = contentKey('extract', undefined, { layers, path: imagePath(wanted) });
  const home = joinInside(ports.store, path.join('extracted', digestHex(key)));
  const copy = joinInside(home, path.posix.basename(imagePath(wanted)) || 'root');
  if (await exists(copy)) {
    await noteUse(home);
    return copy;
  }
  await using stack = await openLayerStack(ports.layout, image.layers, signal);
  const found = await stack?.resolve(byteString(wanted), signal);
  if (!stack || !found) {
    throw new StkError('not-found', `image ${image.name} has no ${wanted}`, {
      hint: `look what it has: stk ls ${image.name}:${path.posix.dirname(wanted)}`,
    });
  }
  await using temporary = await makeTempDir(joinInside(ports.store, 'extracted'), 'extract');
  await copyNode(stack, found.node, joinInside(temporary.path, path.basename(copy)), signal);
  await rename(temporary.path, home).catch((error: unknown) => {
    // Another build was faster with the same content.
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
  });
  return copy;
}

/** Copies a file, link or directory to a path where nothing is; what `extractFromImage` says of owners and types holds. */
export async function copyNode(
  stack: LayerStack,
  node: MergedNode,
  target: AbsPath,
  signal: AbortSignal | undefined,
): Promise<void> {
  return copyAt({ stack, node, depth: 0 }, target, signal);
}

interface CopiedNode {
  readonly stack: LayerStack;
  readonly node: MergedNode;
  readonly depth: number;
}

async function copyAt(copied: CopiedNode, target: AbsPath, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  const { stack, node, depth } = copied;
  const { inode } = node;
  if (depth > MAX_DEPTH) throw new StkError('invalid-input', `directories nest deeper than ${MAX_DEPTH}`);
  switch (inode.type) {
    case 'file':
      await pipeline(stack.openFile(node, signal), createWriteStream(target, { flags: 'wx' }));
      return chmod(target, inode.mode);
    case 'symlink':
      return symlink(textOfByteString(inode.target), target);
    case 'directory':
      await mkdir(target);
      for await (const entry of stack.readDirectory(node, signal)) {
        const below = { stack, node: entry.node, depth: depth + 1 };
        await copyAt(below, joinInside(target, textOfByteString(entry.name)), signal);
      }
      return chmod(target, inode.mode);
    default:
      throw new StkError('unsupported', `cannot import a ${inode.type} from an image: ${target}`);
  }
}

async function exists(file: AbsPath): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
