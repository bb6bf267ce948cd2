/** `docker://HOST/GLOB` taken apart; `below` is as much of the repositories' names as has no wildcard. */
export interface RegistryPattern {
  readonly host: string;
  /** A repository, or a glob of them. */
  readonly glob: string;
  readonly isGlob: boolean;
  /** Path that all matches lie below, without a slash at its end. */
  readonly below: string | undefined;
}

/** `undefined` for what is no `docker://`. */
export function registryPattern(from: string): RegistryPattern | undefined {
  const match = /^docker:\/\/([^/]+)\/(.+)$/.exec(from);
  if (!match) return undefined;
  const [, host = '', glob = ''] = match;
  const parts = glob.split('/');
  const wild = parts.findIndex(part => /[*?[{\\]/.test(part));
  if (wild < 0) return { host, glob, isGlob: false, below: undefined };
  return { host, glob, isGlob: true, below: wild === 0 ? undefined : parts.slice(0, wild).join('/') };
}
