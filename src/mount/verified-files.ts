import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';

/** A layer whose every block can be checked. */
export interface VerifiedLayer {
  readonly digest: Digest;
  readonly file: AbsPath;
  /** 64 lower-case hex digits. */
  readonly verityRoot: string;
}

/** Files that hold the layers' bytes, each block checked against the verity root when it is read. */
export interface ServedFiles extends AsyncDisposable {
  readonly files: ReadonlyMap<Digest, AbsPath>;
}

/**
 * Verification in user space, for hosts without dm-verity. The files appear in a FUSE mount on the directory given, served
 * by a process that outlives this one and ends when that directory is unmounted. Disposing takes the mount away; whoever
 * wants it to last does not dispose. A block that does not match answers reads with an I/O error.
 */
export interface VerifiedFiles {
  /** What is missing on this host for it, in words; `undefined` where it can be used. */
  missing(): Promise<string | undefined>;
  serve(layers: readonly VerifiedLayer[], directory: AbsPath, signal?: AbortSignal): Promise<ServedFiles>;
}
