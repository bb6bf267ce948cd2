import type { JsonValue } from '../core/canonical-json.ts';
import type { Digest } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';

/** A layer whose every block can be checked. */
export interface VerifiedLayer {
  readonly digest: Digest;
  readonly file: AbsPath;
  readonly sizeBytes: number;
  /** 64 lower-case hex digits. */
  readonly verityRoot: string;
  /** Where its bytes come from if there is no file; see `FarLayer`. */
  readonly far?: JsonValue | undefined;
}

export interface FilesToServe {
  readonly layers: readonly VerifiedLayer[];
  /** Where the files appear: an existing empty directory. */
  readonly directory: AbsPath;
  /** Failed reads, one JSON object a line with `digest` and `offset`, appended. */
  readonly logFile: AbsPath;
  /** Lives as long as the server; left by one that was killed. */
  readonly stateFile: AbsPath;
}

/**
 * Verification in user space, for hosts without dm-verity. The files hold the layers' bytes, each block checked against
 * the verity root whenever it is read; a block that does not match answers reads with an I/O error. They lie in a FUSE
 * mount that is served by a process which outlives this one and ends when the directory is unmounted.
 */
export interface VerifiedFiles {
  /** What is missing on this host for it, in words; `undefined` where it can be used. */
  missing(): Promise<string | undefined>;
  /** Returns once the files can be read; each is named by the hex digits of its layer's digest. */
  serve(files: FilesToServe, signal?: AbortSignal): Promise<void>;
}
