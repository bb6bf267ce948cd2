import { AsyncScope } from '../core/async-scope.ts';
import type { DiffId } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { openDigester, type StreamDigester } from '../host/thread-digester.ts';
import type { TarCompression } from '../oci/media-types.ts';
import { decompressStream } from './decompress-stream.ts';
import type { LayerBlob } from './layer-blob.ts';
import { LayerScan, normalized } from './layer-scan.ts';
import { LayerTree } from './layer-tree.ts';
import type { LowerContent, LowerLeaf } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';
import { SquashfsWriter } from './squashfs-writer.ts';
import { storedBytes, type TarEntry } from './tar-entry.ts';
import { TarReader } from './tar-reader.ts';

/** Guard against bombs: a layer that holds more than this, holes included, is refused. */
const DEFAULT_MAX_CONTENT_BYTES = 256 * 1024 ** 3;
/** Room for headers beside the content. */
const HEADER_ALLOWANCE_BYTES = 4 * 1024 ** 3;

export interface ConvertTarRequest {
  /** Bytes as they lie in the store, verified by the caller. Called again where a second pass is needed. */
  readonly source: () => AsyncIterable<Uint8Array>;
  readonly compression: TarCompression;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly options: PackOptions;
  readonly lower: LowerContent;
  /** Largest total of file content that is accepted, holes included. */
  readonly maxContentBytes?: number;
  readonly signal?: AbortSignal | undefined;
  /** Receives the count of compressed bytes read so far; starts anew with a second pass. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Receives what was left out and why. */
  readonly onWarning?: (text: string) => void;
}

export interface ConvertedLayer extends LayerBlob {
  /** Digest of the uncompressed tar, for the caller to compare with the image's config. */
  readonly diffId: DiffId;
  /** Whether what was written depends on the lower layers, so that it must not be remembered by the tar's digest alone. */
  readonly dependsOnLower: boolean;
}

/**
 * Converts one tar layer to a squashfs layer as a stream; nothing is unpacked on the host. Paths mean what they mean to
 * the unpackers of container runtimes: cleaned, rooted, parents resolved through symlinks of the layer and those below.
 * Whiteouts become overlayfs's (image-spec, layer.md). A hard link to a file of a lower layer brings that file along, under
 * both names, as overlayfs copies it up. A layer that names a path twice or has such a link is read twice, since only its
 * end tells which entry wins. A malformed or hostile archive is `invalid-input`.
 */
export async function convertTarLayer(request: ConvertTarRequest): Promise<ConvertedLayer> {
  const { lower, maxContentBytes = DEFAULT_MAX_CONTENT_BYTES } = request;
  const scan = new LayerScan(new LayerTree(lower), { maxContentBytes, marks: true, below: lower });
  const first = await firstPass(request, scan);
  const blob = first.blob ?? (await secondPass(request, scan));
  scan.lostAcls().report(request.onWarning);
  return { ...blob, diffId: first.diffId, dependsOnLower: scan.tree.dependsOnLower() };
}

/** Writes as it reads, until a path comes twice; the blob is absent then. */
async function firstPass(
  request: ConvertTarRequest,
  scan: LayerScan,
): Promise<{ readonly diffId: DiffId; readonly blob: LayerBlob | undefined }> {
  // How long the tar is nobody knows yet; a layer is rarely small.
  const digester = openDigester(Number.MAX_SAFE_INTEGER);
  await using scope = new AsyncScope();
  scope.defer(async () => digester.abandon());
  await using writer = await SquashfsWriter.start(request.output, request.options, request.signal);
  await using reader = openTar(request, digester);
  let writing = true;
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    const verdict = await scan.add(entry);
    if (verdict.clash && writing) {
      writing = false;
      await writer.abandon();
    }
    if (verdict.write && writing) await copyEntry(writer, reader, verdict.write);
  }
  await reader.drain();
  scan.tree.settleWhiteouts();
  const blob = writing ? await writer.finish(scan.tree) : undefined;
  return { diffId: (await digester.finish()) as DiffId, blob };
}

/** Writes only what was left at the end of the first pass. */
async function secondPass(request: ConvertTarRequest, scan: LayerScan): Promise<LayerBlob> {
  const survivors = scan.survivors();
  await using writer = await SquashfsWriter.start(request.output, request.options, request.signal);
  await using reader = openTar(request, undefined);
  let number = 0;
  for (let entry = await reader.next(); entry; entry = await reader.next()) {
    const { paths: [path, ...links] = [], lower } = survivors.get(number++) ?? {};
    if (path === undefined) continue;
    const final = normalized(lower ? await lower.entry() : entry, path);
    if (lower) await copyLower(writer, lower, final);
    else await copyEntry(writer, reader, final);
    for (const link of links) await writer.entry(linkEntry(final, link));
  }
  return await writer.finish(scan.tree);
}

function linkEntry({ sparse: _sparse, ...entry }: TarEntry, path: string): TarEntry {
  return { ...entry, type: 'hardlink', path, linkPath: entry.path, sizeBytes: 0, xattrs: new Map() };
}

async function copyEntry(writer: SquashfsWriter, reader: TarReader, entry: TarEntry): Promise<void> {
  await writer.entry(entry);
  if (entry.type !== 'file') return;
  for (let piece = await reader.readBody(); piece; piece = await reader.readBody()) await writer.body(piece);
  await writer.endBody(storedBytes(entry));
}

async function copyLower(writer: SquashfsWriter, lower: LowerLeaf, entry: TarEntry): Promise<void> {
  await writer.entry(entry);
  if (entry.type !== 'file') return;
  for await (const piece of lower.content(entry)) await writer.body(piece);
  await writer.endBody(storedBytes(entry));
}

function openTar(request: ConvertTarRequest, digester: StreamDigester | undefined): TarReader {
  const limit = (request.maxContentBytes ?? DEFAULT_MAX_CONTENT_BYTES) + HEADER_ALLOWANCE_BYTES;
  const compressed = countedStream(request);
  return new TarReader(
    hashedStream(decompressStream(compressed, request.compression, request.signal), digester, limit),
  );
}

async function* countedStream({ source, onProgress, signal }: ConvertTarRequest): AsyncGenerator<Uint8Array, void> {
  let done = 0;
  for await (const chunk of source()) {
    throwIfAborted(signal);
    done += chunk.byteLength;
    onProgress?.(done);
    yield chunk;
  }
}

async function* hashedStream(
  chunks: AsyncIterable<Uint8Array>,
  digester: StreamDigester | undefined,
  limit: number,
): AsyncGenerator<Uint8Array, void> {
  let total = 0;
  for await (const chunk of chunks) {
    total += chunk.byteLength;
    if (total > limit) throw new StkError('invalid-input', `a layer of more than ${limit} bytes`);
    const wait = digester?.update(chunk);
    if (wait) await wait;
    yield chunk;
  }
}
