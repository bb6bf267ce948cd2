import path from 'node:path';
import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { digestHex, type Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { mkdir, readFile, readdir } from '../host/files.ts';
import { readUnnoticed } from '../host/unnoticed-read.ts';

/** Kinds of remembered work; each is a directory. */
export type RecordKind =
  'step' | 'image' | 'apply' | 'convert' | 'extract' | 'http' | 'manifest' | 'built' | 'inputs' | 'origin';

/**
 * Small JSON facts about finished work under content keys. A record is a promise about content-addressed inputs, so it
 * never goes stale; what it points to may be gone, which the reader must check. Damaged records count as absent. Only
 * `built` and `inputs` are about names, and say what was made last, and of what. `origin` tells how images came about, by
 * their manifests.
 */
export class RecordCache {
  readonly #directory: AbsPath;

  constructor(directory: AbsPath) {
    this.#directory = directory;
  }

  async get(kind: RecordKind, key: Digest): Promise<JsonValue | undefined> {
    try {
      return JSON.parse(await readFile(this.#file(kind, key), 'utf8')) as JsonValue;
    } catch {
      return undefined;
    }
  }

  async put(kind: RecordKind, key: Digest, value: JsonValue): Promise<void> {
    const file = this.#file(kind, key);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFileAtomic(file, canonicalJson(value));
  }

  /** Every record of a kind that can be read, which does not count as using it. */
  async *all(kind: RecordKind): AsyncIterable<JsonValue> {
    const directory = joinInside(this.#directory, kind);
    for (const name of await readdir(directory).catch(() => [])) {
      if (!/^[0-9a-f]{64}\.json$/.test(name)) continue;
      try {
        yield JSON.parse(await readUnnoticed(joinInside(directory, name))) as JsonValue;
      } catch {
        continue;
      }
    }
  }

  #file(kind: RecordKind, key: Digest): AbsPath {
    return joinInside(this.#directory, path.join(kind, `${digestHex(key)}.json`));
  }
}
