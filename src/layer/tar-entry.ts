/** A stretch of stored bytes in a sparse file; what lies between two is zeros. */
export interface SparseSegment {
  readonly offset: number;
  readonly length: number;
}

export type TarEntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'char' | 'block';

/**
 * One member of a tar archive, whichever dialect it came in. Paths, link targets and xattr names are byte strings
 * (latin1-decoded), as they stand in the archive.
 */
export interface TarEntry {
  readonly type: TarEntryType;
  readonly path: string;
  /** Target of a symlink or path of a hard link's other name; empty otherwise. */
  readonly linkPath: string;
  /** Permission bits, set-id and sticky bits included. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since the Unix epoch; may be negative. */
  readonly mtimeSeconds: number;
  /** Size of the file as a reader sees it, holes included; 0 for everything but files. */
  readonly sizeBytes: number;
  /** Stored stretches in order; absent where the whole file is stored. */
  readonly sparse?: readonly SparseSegment[];
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** It came with a POSIX ACL that says more than `mode`, whose bits for the group are the owning group's own. */
  readonly lostAcl?: boolean;
}

export const TAR_BLOCK_BYTES = 512;

/** Bytes of an entry's body in the archive: without holes. */
export function storedBytes(entry: Pick<TarEntry, 'sizeBytes' | 'sparse'>): number {
  return entry.sparse ? entry.sparse.reduce((sum, segment) => sum + segment.length, 0) : entry.sizeBytes;
}

/** Bytes that fill a body up to the next block. */
export function tarPadding(sizeBytes: number): number {
  return (TAR_BLOCK_BYTES - (sizeBytes % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
}
