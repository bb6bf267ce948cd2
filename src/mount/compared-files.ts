import { createHash } from 'node:crypto';
import { stat } from '../host/files.ts';
import type { Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { LineRecord } from '../host/line-record.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { assertBlob } from '../layer/find-fault.ts';

/**
 * Compares files of layers with their digests before they are mounted, each once: a file that has not changed since is not
 * read again before the next boot. Device, inode, size, mtime and ctime tell, of which nobody can set the last.
 */
export class ComparedFiles {
  readonly #lines: LineRecord | undefined;

  /** @param home see `stateHome`: a directory that nobody else can write; `undefined` for no memory */
  constructor(home: AbsPath | undefined) {
    this.#lines = home && new LineRecord(joinInside(home, 'compared'));
  }

  /** Throws `integrity` unless the file holds the blob. */
  async compare(file: AbsPath, blob: Pick<Descriptor, 'digest' | 'size'>, signal?: AbortSignal): Promise<void> {
    const key = await stamp(file, blob.digest);
    if ((await this.#lines?.find(key)) !== undefined) return;
    await assertBlob({ file, descriptor: blob }, signal);
    // One that was changed while it was read gets no entry that counts: its stamp is another one now.
    await this.#lines?.add(key, blob.digest);
  }
}

async function stamp(file: AbsPath, digest: Digest): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return createHash('sha256').update([digest, dev, ino, size, mtimeNs, ctimeNs].join(' ')).digest('hex');
}
