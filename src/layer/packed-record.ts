import path from 'node:path';
import { digestHex, type Digest } from '../core/digest.ts';
import { errnoOf } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { LineRecord } from '../host/line-record.ts';
import { findOtherWriter } from '../host/root-only.ts';
import type { LayerBlob } from './layer-blob.ts';

/** Beside what else a system keeps of itself over a reboot. */
const PACKED_RECORD = '/var/lib/stk/packed' as AbsPath;

/** What is remembered of a layer that was packed here. */
export interface PackedLayerFacts {
  readonly sizeBytes: number;
  /** Root hash of its verity tree; absent where it was packed without. */
  readonly verityRoot?: string;
}

/**
 * The record of layers whose bytes a packer wrote that root ran on this machine: what the kernel's squashfs may read
 * without being asked. Only root can write it: nothing that an image, a layout or a cache says of itself gets in. By digest
 * it has size and root hash, `-` for none.
 */
export class PackedRecord {
  readonly #directory: AbsPath;
  readonly #lines: LineRecord;

  constructor(directory: AbsPath = PACKED_RECORD) {
    this.#directory = directory;
    this.#lines = new LineRecord(directory);
  }

  /**
   * Remembers a layer. The caller, root of the first user namespace, has computed the digest from an open file that nobody
   * else could write to while it was written by a packer. Where the record cannot be kept, nothing is remembered: that
   * layer is mounted with FUSE.
   */
  async remember({ digest, sizeBytes, verityRoot = '-' }: LayerBlob): Promise<void> {
    if (await this.find(digest)) return;
    await this.#lines.add(digestHex(digest), `${sizeBytes} ${verityRoot}`);
  }

  /** What is known of a layer; `undefined` where it was not packed here, or somebody besides root could have said so. */
  async find(digest: Digest): Promise<PackedLayerFacts | undefined> {
    const text = await this.#lines.find(digestHex(digest));
    const [, size, root] = /^(\d{1,15}) ([0-9a-f]{64}|-)$/.exec(text ?? '') ?? [];
    if (size === undefined || root === undefined) return undefined;
    if ((await findOtherWriter(this.#lines.file(digestHex(digest)))) !== undefined) return undefined;
    return { sizeBytes: Number(size), ...(root === '-' ? {} : { verityRoot: root }) };
  }

  /** Why the record does not count, in words; `undefined` where it does, or will once something was packed. */
  async problem(): Promise<string | undefined> {
    for (let place: string = this.#directory; ; place = path.dirname(place)) {
      try {
        return await findOtherWriter(place as AbsPath);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || place === '/') throw error;
      }
    }
  }
}
