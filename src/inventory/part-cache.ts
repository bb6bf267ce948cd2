import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { digestHex, type Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { mkdir, readFile, readdir, rm, stat } from '../host/files.ts';
import type { LayerPart } from './layer-part.ts';

/** Of what is written: what another version wrote is not believed. */
const VERSION = 1;
const MOST_PARTS = 1000;
const MAX_PART_BYTES = 256 * 1024 * 1024;

/** Parts of layers that were read before. What cannot be read or written is made again: the cache is nobody's only copy. */
export class PartCache {
  readonly #directory: AbsPath | undefined;

  /** @param directory may not exist; `undefined` remembers nothing */
  constructor(directory: AbsPath | undefined) {
    this.#directory = directory;
  }

  async get(key: Digest): Promise<LayerPart | undefined> {
    if (this.#directory === undefined) return undefined;
    try {
      const text = await promisify(gunzip)(await readFile(this.#file(key)), { maxOutputLength: MAX_PART_BYTES });
      const value = JSON.parse(text.toString('utf8')) as { readonly version: number; readonly part: LayerPart };
      return value.version === VERSION ? value.part : undefined;
    } catch {
      return undefined;
    }
  }

  async put(key: Digest, part: LayerPart): Promise<void> {
    if (this.#directory === undefined) return;
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const bytes = await promisify(gzip)(JSON.stringify({ version: VERSION, part }), { level: 1 });
      await writeFileAtomic(this.#file(key), bytes, { mode: 0o600 });
      await this.#prune(this.#directory);
    } catch {
      // A full disk or a home that cannot be written.
    }
  }

  /** Leaves the newest half where there are too many. */
  async #prune(directory: AbsPath): Promise<void> {
    const names = await readdir(directory);
    if (names.length <= MOST_PARTS) return;
    const aged = await Promise.all(
      names.map(async name => ({ name, mtimeMs: (await stat(path.join(directory, name))).mtimeMs })),
    );
    const old = aged.toSorted((a, b) => b.mtimeMs - a.mtimeMs).slice(MOST_PARTS / 2);
    for (const { name } of old) await rm(path.join(directory, name), { force: true });
  }

  #file(key: Digest): AbsPath {
    return joinInside(this.#directory!, `${digestHex(key)}.json.gz`);
  }
}
