import { joinInside, type AbsPath } from '../core/paths.ts';

/** Where stk keeps what is its own: caches, staged imports, running work. Nothing in it is part of an image. */
export interface StateDirectories {
  readonly home: AbsPath;
  readonly records: AbsPath;
  readonly imports: AbsPath;
  readonly http: AbsPath;
  readonly cacheDirs: AbsPath;
  readonly work: AbsPath;
  /** An OCI layout of images that were converted on their way to a registry. */
  readonly converted: AbsPath;
  /** Records of rolls, a directory for each fleet file. */
  readonly fleets: AbsPath;
  readonly fileDigests: AbsPath;
  /** What builds did, a directory for each. */
  readonly history: AbsPath;
}

export function stateDirectories(home: AbsPath): StateDirectories {
  const below = (name: string) => joinInside(home, name);
  return {
    home,
    records: below('cache'),
    imports: below('imports'),
    http: below('http'),
    cacheDirs: below('cache-dirs'),
    work: below('work'),
    converted: below('converted'),
    fleets: below('fleets'),
    fileDigests: below('file-digests.json'),
    history: below('history'),
  };
}
