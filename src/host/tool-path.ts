const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

let searchPath = SYSTEM_PATH;

/** Where tools are looked for: the caller's PATH, then the system directories (sbin is not on an ordinary user's PATH). */
export function setToolPath(path: string | undefined): void {
  searchPath = path ? `${path}:${SYSTEM_PATH}` : SYSTEM_PATH;
}

/** The whole environment of an external tool: a search path and a fixed locale, so that messages can be parsed. */
export function toolEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: searchPath, LC_ALL: 'C.UTF-8', ...extra };
}

export function toolSearchPath(): readonly string[] {
  return searchPath.split(':').filter(directory => directory.startsWith('/'));
}
