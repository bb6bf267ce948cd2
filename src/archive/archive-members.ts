import path from 'node:path';
import type { BlobReader } from '../core/blob-reader.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import { isZeroBlock, parseTarHeader } from '../layer/tar-header.ts';
import { parsePaxRecords } from '../layer/tar-pax.ts';
import { TAR_BLOCK_BYTES, tarPadding } from '../layer/tar-entry.ts';

/** Where the bytes of a member lie in its archive. */
export interface MemberExtent {
  readonly offset: number;
  readonly sizeBytes: number;
}

const MAX_MEMBERS = 200_000;
const MAX_EXTENSION_BYTES = 1024 * 1024;
const MAX_LINKS = 8;

/**
 * The regular files of an uncompressed tar by path, found by their headers alone: bodies are skipped, not read.
 * Symlinks and hard links to members count as further names. Throws `invalid-input` for what is no such tar.
 */
export async function readArchiveMembers(
  archive: BlobReader,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, MemberExtent>> {
  const members = new Map<string, MemberExtent>();
  const links = new Map<string, string>();
  let name: { path?: string; link?: string; sizeBytes?: number } = {};
  let count = 0;
  for (let at = 0; at + TAR_BLOCK_BYTES <= archive.sizeBytes;) {
    throwIfAborted(signal);
    const block = await archive.readAt(at, TAR_BLOCK_BYTES, signal);
    if (isZeroBlock(block)) break;
    if (++count > MAX_MEMBERS) throw bad(archive, `has more than ${MAX_MEMBERS} members`);
    const header = parseTarHeader(block);
    const flag = header.typeFlag;
    const isExtension = 'xXgLK'.includes(flag);
    const sizeBytes = isExtension ? header.sizeBytes : (name.sizeBytes ?? header.sizeBytes);
    const offset = at + TAR_BLOCK_BYTES;
    const isSane = Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && offset + sizeBytes <= archive.sizeBytes;
    if (!isSane) throw bad(archive, 'ends in the middle of a member');
    at = offset + sizeBytes + tarPadding(sizeBytes);
    if (isExtension) {
      if (sizeBytes > MAX_EXTENSION_BYTES) throw bad(archive, 'has an oversized header');
      name = flag === 'g' ? name : { ...name, ...extension(flag, await archive.readAt(offset, sizeBytes, signal)) };
      continue;
    }
    const member = imagePath(name.path ?? header.path);
    const target = name.link ?? header.linkPath;
    name = {};
    if (flag === '0' || flag === '7') members.set(member, { offset, sizeBytes });
    else if (flag === '1') links.set(member, imagePath(target));
    else if (flag === '2') links.set(member, imagePath(path.posix.join(path.posix.dirname(member), target)));
  }
  addLinks(members, links);
  return members;
}

function extension(flag: string, body: Buffer): { path?: string; link?: string; sizeBytes?: number } {
  if (flag === 'L' || flag === 'K') {
    const text = body.toString('latin1').replace(/\0.*$/s, '');
    return flag === 'L' ? { path: text } : { link: text };
  }
  const found: { path?: string; link?: string; sizeBytes?: number } = {};
  for (const [key, value] of parsePaxRecords(body)) {
    const text = value.toString('latin1');
    if (key === 'path') found.path = text;
    if (key === 'linkpath') found.link = text;
    if (key === 'size') found.sizeBytes = Number(text);
  }
  return found;
}

/** Older archives of Docker keep a layer once and link to it. */
function addLinks(members: Map<string, MemberExtent>, links: ReadonlyMap<string, string>): void {
  for (const [name, target] of links) {
    let at: string | undefined = target;
    for (let hops = 0; hops < MAX_LINKS && at !== undefined && !members.has(at); hops++) at = links.get(at);
    const found = at === undefined ? undefined : members.get(at);
    if (found) members.set(name, found);
  }
}

function bad(archive: BlobReader, problem: string): StkError {
  return new StkError('invalid-input', `${archive.name} ${problem}`, { facts: { path: archive.name } });
}
