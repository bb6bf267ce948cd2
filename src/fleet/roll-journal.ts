import path from 'node:path';
import { digestHex, isDigest, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { tryLockFile, type FileLock } from '../host/file-lock.ts';
import { constants, mkdir, open, readFile, readdir, rm } from '../host/files.ts';
import type { ManifestBytes } from '../oci/blob-store.ts';
import { parseManifest } from '../oci/parse-manifest.ts';

/** A tag that a roll moves, written down before it does. */
export interface RollMove {
  /** As an image name, with the tag. */
  readonly image: string;
  /** What it stood for; `undefined`: nothing. */
  readonly from: Digest | undefined;
  readonly to: Digest;
}

/** Earlier rolls that are kept. */
const KEPT_ROLLS = 3;
const ROLL_NAME = /^roll-\d{13}$/;

interface Roll {
  readonly directory: AbsPath;
  readonly moves: RollMove[];
  /** Images whose new version a check has let pass. */
  readonly passed: Set<string>;
  isEnded: boolean;
}

/**
 * What the rolls of a fleet do, on disk: a roll that was killed goes on where it was, and one that is not wanted is taken back
 * from the manifests that were kept. One process at a time has it.
 */
export class RollJournal implements AsyncDisposable {
  readonly #home: AbsPath;
  readonly #lock: FileLock;
  #roll: Roll | undefined;

  private constructor(home: AbsPath, lock: FileLock, roll: Roll | undefined) {
    this.#home = home;
    this.#lock = lock;
    this.#roll = roll;
  }

  /** @param home its directory, made where it is missing. Throws `conflict` where another process has it. */
  static async open(home: AbsPath): Promise<RollJournal> {
    await mkdir(home, { recursive: true, mode: 0o700 });
    const lock = await tryLockFile(home, 'exclusive');
    if (!lock) {
      throw new StkError('conflict', 'another roll of this fleet is running', {
        hint: 'wait for its end, and run again',
        facts: { path: home },
      });
    }
    const [latest] = await rollNames(home);
    return new RollJournal(home, lock, latest === undefined ? undefined : await readRoll(joinInside(home, latest)));
  }

  /** Whether an earlier run has left its roll before the end. */
  get isResumed(): boolean {
    return this.#roll !== undefined && !this.#roll.isEnded;
  }

  /** Whether a check has let an image pass in this roll. */
  hasPassed(image: string): boolean {
    return this.isResumed && this.#roll!.passed.has(image);
  }

  get passedCount(): number {
    return this.#roll?.passed.size ?? 0;
  }

  /** Moves of the latest roll, in their order. */
  get moves(): readonly RollMove[] {
    return this.#roll?.moves ?? [];
  }

  async pass(image: string): Promise<void> {
    const roll = await this.#current();
    roll.passed.add(image);
    await append(roll.directory, { kind: 'passed', image });
  }

  /** @param before what the tag stood for, each manifest after those that it names */
  async move(move: RollMove, before: readonly ManifestBytes[]): Promise<void> {
    const roll = await this.#current();
    for (const { descriptor, bytes } of before) {
      await writeFileAtomic(joinInside(roll.directory, path.join('manifests', digestHex(descriptor.digest))), bytes);
    }
    roll.moves.push(move);
    await append(roll.directory, { kind: 'move', ...move });
  }

  /** A manifest that was kept; `undefined`: it was not. */
  async manifest(digest: Digest): Promise<ManifestBytes | undefined> {
    if (!this.#roll) return undefined;
    try {
      const bytes = await readFile(joinInside(this.#roll.directory, path.join('manifests', digestHex(digest))));
      const { mediaType } = parseManifest(bytes, digest);
      return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Manifests that an index names and that were kept: a registry may have forgotten what nothing named. */
  async children({ bytes, descriptor }: ManifestBytes): Promise<readonly ManifestBytes[]> {
    const parsed = parseManifest(bytes, descriptor.digest);
    if (parsed.kind !== 'index') return [];
    const found: ManifestBytes[] = [];
    for (const { digest } of parsed.manifest.manifests) {
      const manifest = await this.manifest(digest);
      if (manifest) found.push(manifest);
    }
    return found;
  }

  /** The next run begins another roll. */
  async end(): Promise<void> {
    if (!this.#roll || this.#roll.isEnded) return;
    this.#roll.isEnded = true;
    await append(this.#roll.directory, { kind: 'end' });
  }

  /** Made with the first thing to write down, so that runs with nothing to do leave the last roll to be taken back. */
  async #current(): Promise<Roll> {
    if (this.#roll && !this.#roll.isEnded) return this.#roll;
    const directory = joinInside(this.#home, `roll-${Date.now()}`);
    await mkdir(joinInside(directory, 'manifests'), { recursive: true, mode: 0o700 });
    this.#roll = { directory, moves: [], passed: new Set(), isEnded: false };
    for (const name of (await rollNames(this.#home)).slice(KEPT_ROLLS + 1)) {
      await rm(joinInside(this.#home, name), { recursive: true, force: true });
    }
    return this.#roll;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }
}

/** Manifests that the rolls of all fleets have kept, so that they can be taken back. */
export async function keptManifests(fleets: AbsPath): Promise<readonly Digest[]> {
  const kept: Digest[] = [];
  for (const fleet of await namesIn(fleets)) {
    for (const roll of await rollNames(joinInside(fleets, fleet))) {
      const names = await namesIn(joinInside(fleets, path.join(fleet, roll, 'manifests')));
      kept.push(...names.map(name => `sha256:${name}`).filter(isDigest));
    }
  }
  return kept;
}

/** The latest first. */
async function rollNames(home: AbsPath): Promise<readonly string[]> {
  return (await namesIn(home))
    .filter(name => ROLL_NAME.test(name))
    .toSorted()
    .toReversed();
}

async function namesIn(directory: AbsPath): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return [];
    throw error;
  }
}

/** What a crash has torn is no line, and what is no line of a journal is passed over. */
async function readRoll(directory: AbsPath): Promise<Roll> {
  const roll: Roll = { directory, moves: [], passed: new Set(), isEnded: false };
  const text = await readFile(joinInside(directory, 'journal'), 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  });
  for (const line of text.split('\n').slice(0, -1)) {
    const value = parseLine(line);
    if (value?.['kind'] === 'end') roll.isEnded = true;
    const { image, from, to } = value ?? {};
    if (typeof image !== 'string') continue;
    if (value?.['kind'] === 'passed') roll.passed.add(image);
    if (value?.['kind'] === 'move' && isDigest(to))
      roll.moves.push({ image, from: isDigest(from) ? from : undefined, to });
  }
  return roll;
}

function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

async function append(directory: AbsPath, value: object): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT;
  const handle = await open(joinInside(directory, 'journal'), flags, 0o600);
  try {
    // What a crash left without an end is not to swallow this line.
    await handle.write(`\n${JSON.stringify(value)}\n`);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
