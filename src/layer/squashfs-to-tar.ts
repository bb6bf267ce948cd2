import type { DiffId, Digest } from '../core/digest.ts';
import { StkError, isStkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { stat } from '../host/files.ts';
import { openDigester } from '../host/thread-digester.ts';
import { startSqfs2tar } from '../host/tools/sqfs2tar.ts';
import type { TarCompression } from '../oci/media-types.ts';
import { openSink, type ByteSink } from './byte-sink.ts';
import { isReservedName, layerPath, opaqueName, whiteoutName } from './layer-path.ts';
import { OPAQUE_VALUE, layerXattrs } from './overlay-xattrs.ts';
import { OPAQUE_XATTR } from '../squashfs/overlay.ts';
import { storedBytes, tarPadding, type TarEntry } from './tar-entry.ts';
import { shownPath } from './tar-error.ts';
import { TarReader } from './tar-reader.ts';
import { TAR_END, tarHeader } from './tar-writer.ts';

export interface ConvertSquashfsRequest {
  readonly input: AbsPath;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly compression: TarCompression;
  readonly signal?: AbortSignal | undefined;
  /** Receives the count of uncompressed bytes so far. */
  readonly onProgress?: (doneBytes: number) => void;
}

export interface TarLayerBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Digest of the uncompressed tar. */
  readonly diffId: DiffId;
}

/**
 * Converts a squashfs layer to a tar layer as a stream: whiteouts and opaque marks become `.wh.` files (image-spec,
 * layer.md), overlay xattrs are left out. The same input gives the same tar on every machine, and the same gzip wherever
 * zlib is of the same version. A file whose own name would read as a whiteout is `unsupported`.
 */
export async function convertSquashfsLayer(request: ConvertSquashfsRequest): Promise<TarLayerBlob> {
  const { input, output, compression, signal, onProgress } = request;
  // Uncompressed, it is rather more.
  const { size } = await stat(input);
  const sink = await openSink(output, compression, signal);
  const digester = openDigester(size);
  const write = async (piece: Uint8Array) => {
    const wait = digester.update(piece);
    if (wait) await wait;
    await sink.write(piece);
  };
  try {
    await writeEntries(input, write, () => onProgress?.(digester.sizeBytes), signal);
    await write(TAR_END);
    const diffId = (await digester.finish()) as DiffId;
    return { diffId, ...(await sink.finish(diffId)) };
  } catch (error) {
    await sink.abandon();
    throw error;
  } finally {
    digester.abandon();
  }
}

async function writeEntries(
  input: AbsPath,
  write: ByteSink['write'],
  report: () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tool = await startSqfs2tar(input, signal);
  tool.done.catch(() => {});
  const whiteouts = new Set<string>();
  await using reader = new TarReader(tool.stdout);
  try {
    for (let entry = await reader.next(); entry; entry = await reader.next()) {
      throwIfAborted(signal);
      const [first, ...marks] = tarEntries(entry, whiteouts);
      await write(tarHeader(first));
      for (const mark of marks) await write(tarHeader(mark));
      if (first.type !== 'file') continue;
      for (let piece = await reader.readBody(); piece; piece = await reader.readBody()) {
        await write(piece);
        report();
      }
      const padding = tarPadding(storedBytes(first));
      if (padding > 0) await write(Buffer.alloc(padding));
    }
    await reader.drain();
    await tool.done;
  } catch (error) {
    tool.kill('SIGKILL');
    // If the tool failed by itself, its message says more than the archive that it left unfinished.
    if (isStkError(error, 'invalid-input')) await tool.done;
    throw error;
  } finally {
    await tool.done.catch(() => {});
  }
}

/**
 * What one node of a squashfs layer is in a tar layer; what follows the first has no body.
 * @param whiteouts paths of the whiteouts so far: overlayfs makes them hard links of each other
 */
function tarEntries(entry: TarEntry, whiteouts: Set<string>): readonly [TarEntry, ...TarEntry[]] {
  const path = layerPath(entry.path);
  const isDevice = entry.type === 'char' && entry.deviceMajor === 0 && entry.deviceMinor === 0;
  if (isDevice || (entry.type === 'hardlink' && whiteouts.has(layerPath(entry.linkPath)))) {
    whiteouts.add(path);
    return [mark(whiteoutName(path))];
  }
  if (isReservedName(path)) {
    throw new StkError(
      'unsupported',
      `${shownPath(path)} cannot be in a tar layer, where its name deletes another file`,
    );
  }
  const plain = { ...entry, xattrs: layerXattrs(entry.xattrs) };
  if (entry.type === 'hardlink') return [{ ...plain, path, linkPath: layerPath(entry.linkPath), xattrs: new Map() }];
  if (entry.type !== 'directory') return [{ ...plain, path }];
  const directory: TarEntry = { ...plain, path: path === '' ? './' : `${path}/` };
  return entry.xattrs.get(OPAQUE_XATTR)?.equals(OPAQUE_VALUE) ? [directory, mark(opaqueName(path))] : [directory];
}

/** An empty file that is only there for its name. */
function mark(path: string): TarEntry {
  const blank = { linkPath: '', sizeBytes: 0, deviceMajor: 0, deviceMinor: 0, mtimeSeconds: 0, xattrs: new Map() };
  return { ...blank, type: 'file', path, mode: 0o600, uid: 0, gid: 0 };
}
