/** One thing that a cache keeps. */
export interface CacheEntry {
  /** Names it within its cache. */
  readonly key: string;
  /** Room that it takes on the disk. */
  readonly sizeBytes: number;
  readonly lastUsed: Date;
  /** A running command, a mount or a container needs it: it cannot be removed now. */
  readonly inUse: boolean;
}

/** `unknown` where there is nothing to compare it with, or it cannot be read. */
export type CacheVerdict = 'right' | 'damaged' | 'unknown';

/** What may be forgotten at any time, at the cost of doing some work again. */
export interface Cache {
  /** As command lines and the configuration file have it. */
  readonly kind: string;
  /** For people. */
  readonly description: string;
  list(): Promise<readonly CacheEntry[]>;
  /** `false` where it is in use; `true` also where it is gone already. A kill leaves all of it or none. */
  remove(key: string): Promise<boolean>;
  /** Compares an entry with its name, a digest, or whatever else is known of it. */
  verify(key: string): Promise<CacheVerdict>;
  /** Clears away what killed commands left half-made. */
  sweep?(): Promise<void>;
}
