import { availableParallelism } from 'node:os';
import type { AbsPath } from '../core/paths.ts';
import { OutputFile } from '../host/output-file.ts';
import { startTar2sqfs } from '../host/tools/tar2sqfs.ts';
import { finishPacked } from './finish-blob.ts';
import type { LayerBlob } from './layer-blob.ts';
import type { LayerDirectory } from './layer-node.ts';
import type { LayerTree } from './layer-tree.ts';
import type { DirectoryAttributes } from './lower-tree.ts';
import { OPAQUE_VALUE, layerXattrs } from './overlay-xattrs.ts';
import { OPAQUE_XATTR } from '../squashfs/overlay.ts';
import type { PackOptions } from './pack-options.ts';
import { tarPadding, type TarEntry } from './tar-entry.ts';
import { TAR_END, tarHeader } from './tar-writer.ts';
import { ToolInput } from './tool-input.ts';

/** squashfs keeps times as unsigned 32-bit seconds. */
const MAX_MTIME_SECONDS = 0xff_ff_ff_ff;

const DEFAULT_ATTRIBUTES: DirectoryAttributes = { mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0, xattrs: new Map() };
const BLANK = { linkPath: '', sizeBytes: 0, deviceMajor: 0, deviceMinor: 0 };

/**
 * Writes a squashfs layer from entries as they come: first files, each path at most once, then by `finish` every
 * directory and whiteout of the tree. Paths are canonical byte strings. The file is removed unless `finish` succeeded.
 */
export class SquashfsWriter implements AsyncDisposable {
  readonly #output: OutputFile;
  readonly #options: PackOptions;
  readonly #signal: AbortSignal | undefined;
  readonly #input: ToolInput;
  #finished = false;

  private constructor(input: ToolInput, output: OutputFile, options: PackOptions, signal: AbortSignal | undefined) {
    this.#input = input;
    this.#output = output;
    this.#options = options;
    this.#signal = signal;
  }

  /** @param output created here; a file that is there is replaced */
  static async start(output: AbsPath, options: PackOptions, signal?: AbortSignal): Promise<SquashfsWriter> {
    const { compressor, level, blockSizeBytes } = options;
    const settings = { compressor, blockSizeBytes, ...(level === undefined ? {} : { level }) };
    const image = await OutputFile.create(output);
    try {
      const tool = await startTar2sqfs(image, { ...settings, jobs: availableParallelism(), signal });
      return new SquashfsWriter(new ToolInput(tool), image, options, signal);
    } catch (error) {
      await image.remove();
      throw error;
    }
  }

  /** Starts an entry; its stored bytes follow by `body`, then `endBody`. */
  async entry(entry: TarEntry): Promise<void> {
    if (this.#input.push(tarHeader(forSquashfs(entry)))) await this.#input.flush();
  }

  /** A piece of the entry's stored bytes; it must not change afterwards. */
  async body(piece: Uint8Array): Promise<void> {
    if (this.#input.push(piece)) await this.#input.flush();
  }

  async endBody(storedBytes: number): Promise<void> {
    const padding = tarPadding(storedBytes);
    if (padding > 0 && this.#input.push(Buffer.alloc(padding))) await this.#input.flush();
  }

  /** Writes directories and whiteouts, ends the image and makes a blob of it. */
  async finish(tree: LayerTree): Promise<LayerBlob> {
    for (const directory of tree.directories()) {
      if (!isWritten(directory)) continue;
      const { path } = directory;
      await this.entry(directoryEntry(directory, path));
      for (const name of directory.whiteouts?.keys() ?? [])
        await this.entry(whiteoutEntry(path === '' ? name : `${path}/${name}`));
    }
    await this.body(TAR_END);
    await this.#input.finish();
    const blob = await finishPacked(this.#output, { verity: this.#options.verity, signal: this.#signal });
    this.#finished = true;
    await this.#output[Symbol.asyncDispose]();
    return blob;
  }

  /** Ends the tool and removes the file, unless `finish` succeeded. */
  async abandon(): Promise<void> {
    if (this.#finished) return;
    await this.#input.abandon();
    await this.#output.remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

/** tar2sqfs makes plain directories by itself wherever something lies in them. */
function isWritten(directory: LayerDirectory): boolean {
  const { attributes, opaque, parent, whiteouts, children } = directory;
  return attributes !== undefined || opaque || !parent || whiteouts !== undefined || children.size === 0;
}

function directoryEntry(directory: LayerDirectory, path: string): TarEntry {
  const { mode, uid, gid, mtimeSeconds, xattrs } = directory.attributes ?? DEFAULT_ATTRIBUTES;
  const kept = layerXattrs(xattrs);
  return {
    ...BLANK,
    ...{ mode, uid, gid, mtimeSeconds },
    type: 'directory',
    path,
    xattrs: directory.opaque ? new Map([...kept, [OPAQUE_XATTR, OPAQUE_VALUE]]) : kept,
  };
}

/** A whiteout is a character device 0:0 (overlayfs). */
function whiteoutEntry(path: string): TarEntry {
  return { ...BLANK, type: 'char', path, mode: 0, uid: 0, gid: 0, mtimeSeconds: 0, xattrs: new Map() };
}

/** With a leading `./` no name can be taken for the magic number of a compressed archive. */
function forSquashfs(entry: TarEntry): TarEntry {
  return {
    ...entry,
    path: `./${entry.path}`,
    linkPath: entry.type === 'hardlink' ? `./${entry.linkPath}` : entry.linkPath,
    mtimeSeconds: Math.min(Math.max(entry.mtimeSeconds, 0), MAX_MTIME_SECONDS),
  };
}
