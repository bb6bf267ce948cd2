import { StkError, errnoOf } from '../core/errors.ts';
import type { Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lockFile, type FileLock } from '../host/file-lock.ts';
import { constants, mkdir, open, stat, utimes, type FileHandle } from '../host/files.ts';

/** A blob of which parts are kept, and what they can be checked against. */
export interface PartBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** 64 hex digits. */
  readonly verityRoot: string;
}

/** Parts of one blob at hand. What it gives is not to be believed: a hole, or what a crash or somebody left. */
export interface BlobParts extends AsyncDisposable {
  /** Exactly `length` bytes; zeros where nothing is kept. */
  read(offset: number, length: number): Promise<Buffer>;
  /** Whether the bytes are kept now. They need not be: it never throws. */
  write(offset: number, bytes: Buffer): Promise<boolean>;
}

export const DATA_FILE = 'data';
const ABOUT_FILE = 'about.json';
/** A blob that is being read is marked as used once in this time. */
const MARK_EVERY_MS = 10 * 60_000;

interface OpenedParts {
  readonly file: FileHandle;
  readonly lock: FileLock;
  /** Of the blob. */
  readonly sizeBytes: number;
}

/** Says whether there is room for so many bytes more. */
export type RoomFor = (sizeBytes: number) => Promise<boolean>;

/**
 * A sparse file as long as the blob, in a directory of its own that is locked as long as anybody has it open: whoever makes
 * room leaves it alone. Several processes may read and write it at once, since all write the same bytes. Nothing says
 * which parts are there, so that nothing can say so wrongly after a crash: the reader's check finds out.
 */
export class PartFile implements BlobParts {
  readonly #directory: AbsPath;
  readonly #file: FileHandle;
  readonly #lock: FileLock;
  readonly #sizeBytes: number;
  readonly #hasRoom: RoomFor;
  #markedMs = 0;

  private constructor(directory: AbsPath, opened: OpenedParts, hasRoom: RoomFor) {
    this.#directory = directory;
    this.#file = opened.file;
    this.#lock = opened.lock;
    this.#sizeBytes = opened.sizeBytes;
    this.#hasRoom = hasRoom;
  }

  /** Opens what is kept of a blob in a directory, making it where it is missing. Errors of the system pass as they are. */
  static async open(directory: AbsPath, blob: PartBlob, hasRoom: RoomFor): Promise<PartFile> {
    const lock = await lockStanding(directory);
    try {
      const about = joinInside(directory, ABOUT_FILE);
      const isNew = (await stat(about).catch(() => undefined)) === undefined;
      const file = await open(joinInside(directory, DATA_FILE), constants.O_RDWR | constants.O_CREAT, 0o600);
      try {
        if ((await file.stat()).size !== blob.sizeBytes) await file.truncate(blob.sizeBytes);
        if (isNew) await writeFileAtomic(about, JSON.stringify(blob), { mode: 0o600 });
        const part = new PartFile(directory, { file, lock, sizeBytes: blob.sizeBytes }, hasRoom);
        await part.#mark();
        return part;
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where the bytes are. */
  get path(): AbsPath {
    return joinInside(this.#directory, DATA_FILE);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (Date.now() - this.#markedMs > MARK_EVERY_MS) await this.#mark();
    const buffer = Buffer.alloc(length);
    for (let done = 0; done < length;) {
      // A disk that fails has nothing of use.
      const { bytesRead } = await this.#file
        .read(buffer, done, length - done, offset + done)
        .catch(() => ({ bytesRead: 0 }));
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer;
  }

  async write(offset: number, bytes: Buffer): Promise<boolean> {
    if (offset + bytes.length > this.#sizeBytes || !(await this.#hasRoom(bytes.length))) return false;
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
      return true;
    } catch {
      // Full, read-only or gone.
      return false;
    }
  }

  /** Has everything that was written reach the disk. */
  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  async #mark(): Promise<void> {
    this.#markedMs = Date.now();
    const now = new Date();
    await utimes(this.path, now, now).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** Somebody who removes it each time it is made would be at it for long. */
const ATTEMPTS = 100;

/** A directory that is held shared and has its name; whoever makes room may take it away just before. */
async function lockStanding(directory: AbsPath): Promise<FileLock> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const before = await stat(directory).catch(ignoreAbsence);
    const lock = before && (await lockFile(directory, 'shared').catch(ignoreAbsence));
    if (!lock) continue;
    const after = await stat(directory).catch(ignoreAbsence);
    if (after && after.ino === before.ino && after.dev === before.dev) return lock;
    await lock[Symbol.asyncDispose]();
  }
  throw new StkError('conflict', `${directory} is removed again and again`);
}

function ignoreAbsence(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}

/** For where nothing can be kept. */
export const NO_PARTS: BlobParts = {
  read: async (_, length) => Buffer.alloc(length),
  write: async () => false,
  async [Symbol.asyncDispose]() {},
};
