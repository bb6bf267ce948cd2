import { StkError, errnoOf, throwIfAborted } from '../core/errors.ts';
import { byteString, hostBytes, hostText } from '../core/host-text.ts';
import { imagePath, type AbsPath } from '../core/paths.ts';
import { createReadStream, lstat, readdir, readlink, type Stats } from '../host/files.ts';
import { plainMode } from './host-acl.ts';
import type { LayerBlob } from './layer-blob.ts';
import { LayerScan } from './layer-scan.ts';
import { LayerTree } from './layer-tree.ts';
import { LostAcls } from './lost-acls.ts';
import type { LowerLookup } from './lower-tree.ts';
import type { PackOptions } from './pack-options.ts';
import { SquashfsWriter } from './squashfs-writer.ts';
import { storedBytes, type TarEntry } from './tar-entry.ts';

/** Content for a place in the image. Directories take their whole content along; symlinks are kept, never followed. */
export interface LayerEntry {
  /** Path in the image, as text. Parents that are not listed come from the lower layers, else they are 0755 and root's. */
  readonly path: string;
  /** A file or directory on the host, or a file's content itself. */
  readonly source:
    { readonly type: 'host'; readonly path: AbsPath } | { readonly type: 'content'; readonly bytes: Uint8Array };
  /** Permission bits of the named file, or of the named directory itself; the host's own where absent, 0644 for content. */
  readonly mode?: number | undefined;
  /** Owner of everything in the entry; 0 where absent. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

export interface PackEntriesRequest {
  /** In order: of two that make the same path, the later wins; directories merge. */
  readonly entries: readonly LayerEntry[];
  readonly lower: LowerLookup;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly options: PackOptions;
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Receives the bytes of content read so far. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Receives what was left out and why. */
  readonly onWarning?: (text: string) => void;
}

/** Somewhere to read a file's bytes from. */
type Content = { readonly hostPath: Buffer } | { readonly bytes: Uint8Array };

interface Found {
  readonly entry: TarEntry;
  readonly content?: Content;
  /** The mode was asked for and is not just the host's. */
  readonly explicit?: boolean;
  /** Where it lies on the host, for people, if it has an ACL there that says more than its mode. */
  readonly lostAcl?: string;
}

/**
 * Packs files of the host as a layer, straight from where they lie; no rights are needed to give them their owners.
 * Names are bytes, hard links within one entry survive, xattrs and ACLs are not taken along. A file that changes its size while it
 * is read is `conflict`.
 */
export async function packEntries(request: PackEntriesRequest): Promise<LayerBlob> {
  const scan = new LayerScan(new LayerTree(request.lower), { maxContentBytes: Number.MAX_SAFE_INTEGER, marks: false });
  const contents = new Map<number, Found>();
  const lostAcls = new LostAcls();
  let number = 0;
  for (const layerEntry of request.entries) {
    for await (const found of walk(layerEntry, request)) {
      if (found.entry.type === 'directory' && (await merged(scan.tree, found))) continue;
      if (found.lostAcl !== undefined) lostAcls.add(found.lostAcl);
      const verdict = await scan.add(found.entry);
      if (verdict.write) contents.set(number, { ...found, entry: verdict.write });
      number++;
    }
  }
  lostAcls.report(request.onWarning);
  const survivors = [...scan.survivors()].sort(([a], [b]) => a - b);
  await using writer = await SquashfsWriter.start(request.output, request.options, request.signal);
  let doneBytes = 0;
  for (const [
    index,
    {
      paths: [path = '', ...links],
    },
  ] of survivors) {
    throwIfAborted(request.signal);
    const { entry, content } = contents.get(index)!;
    await writer.entry({ ...entry, path });
    if (content && entry.sizeBytes > 0) await copyContent(writer, entry, content, request.signal);
    await writer.endBody(storedBytes(entry));
    for (const link of links)
      await writer.entry({ ...entry, type: 'hardlink', path: link, linkPath: path, sizeBytes: 0 });
    request.onProgress?.((doneBytes += entry.sizeBytes));
  }
  return await writer.finish(scan.tree);
}

/** A directory that the image has already, perhaps behind a symlink, stays as it is unless a mode was asked for. */
async function merged(tree: LayerTree, { entry, explicit }: Found): Promise<boolean> {
  const directory = await tree.existingDirectory(entry.path);
  if (!directory) return false;
  const { mode, uid, gid, mtimeSeconds, xattrs } = entry;
  if (explicit) directory.attributes = { mode, uid, gid, mtimeSeconds, xattrs };
  return true;
}

async function copyContent(
  writer: SquashfsWriter,
  { sizeBytes }: TarEntry,
  content: Content,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ('bytes' in content) return writer.body(content.bytes);
  let read = 0;
  const stream = createReadStream(content.hostPath, { highWaterMark: 256 * 1024, ...(signal ? { signal } : {}) });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    read += chunk.length;
    if (read > sizeBytes) break;
    await writer.body(chunk);
  }
  if (read !== sizeBytes) throw new StkError('conflict', `${hostText(content.hostPath)} changed while it was read`);
}

/** An entry and what is below it, names sorted, parents first. */
async function* walk(layerEntry: LayerEntry, request: PackEntriesRequest): AsyncGenerator<Found, void> {
  const path = byteString(imagePath(layerEntry.path));
  const { source, uid = 0, gid = 0 } = layerEntry;
  const owner = { uid, gid };
  if (source.type === 'content') {
    const mtimeSeconds = request.epochSeconds ?? 0;
    const fields = {
      ...BLANK,
      ...owner,
      mode: layerEntry.mode ?? 0o644,
      mtimeSeconds,
      sizeBytes: source.bytes.byteLength,
    };
    yield { entry: { ...fields, type: 'file', path }, content: { bytes: source.bytes } };
    return;
  }
  const seen = new Map<string, string>();
  const pending = [{ path, hostPath: hostBytes(source.path) }];
  for (let at = pending.pop(); at; at = pending.pop()) {
    throwIfAborted(request.signal);
    const shown = hostText(at.hostPath);
    const stats = await lstat(at.hostPath).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error;
      throw new StkError('not-found', `no such file: ${shown}`, { cause: error });
    });
    const found = await foundAt({ ...at, stats, owner }, request, seen);
    if (found === undefined) continue;
    const mode = at.path === path ? layerEntry.mode : undefined;
    yield mode === undefined ? found : { ...found, entry: { ...found.entry, mode: mode & 0o7777 }, explicit: true };
    if (!stats.isDirectory()) continue;
    const names = await readdir(at.hostPath, { encoding: 'buffer' });
    names.sort((a, b) => Buffer.compare(b, a));
    for (const name of names) {
      const child = name.toString('latin1');
      const hostPath = Buffer.concat([at.hostPath, SLASH, name]);
      pending.push({ path: at.path === '' ? child : `${at.path}/${child}`, hostPath });
    }
  }
}

const SLASH = Buffer.from('/');
const BLANK = { linkPath: '', sizeBytes: 0, deviceMajor: 0, deviceMinor: 0, xattrs: new Map<string, Buffer>() };

/** A path of the host, and what becomes of it in the layer. */
interface SourcePath {
  readonly path: string;
  readonly hostPath: Buffer;
  readonly stats: Stats;
  readonly owner: { readonly uid: number; readonly gid: number };
}

async function foundAt(
  { path, hostPath, stats, owner }: SourcePath,
  { epochSeconds, onWarning }: PackEntriesRequest,
  seen: Map<string, string>,
): Promise<Found | undefined> {
  const mtimeSeconds = Math.min(Math.floor(stats.mtimeMs / 1000), epochSeconds ?? Number.MAX_SAFE_INTEGER);
  const entry = { ...BLANK, ...owner, path, mode: stats.mode & 0o7777, mtimeSeconds };
  if (stats.isSymbolicLink()) {
    const target = await readlink(hostPath, { encoding: 'buffer' });
    return { entry: { ...entry, type: 'symlink', linkPath: target.toString('latin1') } };
  }
  if (!stats.isFile() && !stats.isDirectory()) {
    onWarning?.(`${hostText(hostPath)} is a device, pipe or socket and was left out`);
    return undefined;
  }
  const inode = `${stats.dev}:${stats.ino}`;
  const first = stats.isFile() && stats.nlink > 1 ? seen.get(inode) : undefined;
  if (first !== undefined) return { entry: { ...entry, type: 'hardlink', linkPath: first } };
  const plain = plainMode(hostPath, stats.mode, stats.isDirectory());
  const found = { ...entry, mode: plain.mode };
  const lost = plain.lostAcl ? { lostAcl: hostText(hostPath) } : {};
  if (stats.isDirectory()) return { entry: { ...found, type: 'directory' }, ...lost };
  if (stats.nlink > 1) seen.set(inode, path);
  return { entry: { ...found, type: 'file', sizeBytes: stats.size }, content: { hostPath }, ...lost };
}
