import path from 'node:path';
import type { BlobReader } from '../core/blob-reader.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import { imagePath } from '../core/paths.ts';
import { blobChunks } from '../layer/byte-source.ts';
import { TarError } from '../layer/tar-error.ts';
import { TarReader } from '../layer/tar-reader.ts';

/** Where the bytes of a member lie in its archive. */
export interface MemberExtent {
  readonly offset: number;
  readonly sizeBytes: number;
}

const MAX_MEMBERS = 200_000;
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
  try {
    await using reader = new TarReader(blobChunks(archive, signal));
    let count = 0;
    for (let entry = await reader.next(); entry; entry = await reader.next()) {
      throwIfAborted(signal);
      if (++count > MAX_MEMBERS) throw bad(archive, `has more than ${MAX_MEMBERS} members`);
      const { type, sizeBytes, linkPath } = entry;
      const member = imagePath(entry.path);
      if (type === 'hardlink') links.set(member, imagePath(linkPath));
      if (type === 'symlink') links.set(member, imagePath(path.posix.join(path.posix.dirname(member), linkPath)));
      if (type === 'file' && entry.sparse === undefined) members.set(member, { offset: reader.bodyOffset, sizeBytes });
    }
  } catch (error) {
    throw error instanceof TarError ? bad(archive, `is no whole tar: ${error.problem}`) : error;
  }
  addLinks(members, links);
  return members;
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
