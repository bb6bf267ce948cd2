/** What a file can tell of packages. */
export type MetadataKind =
  'os-release' | 'dpkg' | 'dpkg-record' | 'apk' | 'rpm' | 'rpm-other' | 'python' | 'npm' | 'java' | 'executable';

const FIXED: Readonly<Record<string, MetadataKind>> = {
  'etc/os-release': 'os-release',
  'usr/lib/os-release': 'os-release',
  'var/lib/dpkg/status': 'dpkg',
  'lib/apk/db/installed': 'apk',
  'usr/lib/apk/db/installed': 'apk',
};

const RPM = /^(?:var\/lib\/rpm|usr\/lib\/sysimage\/rpm|usr\/share\/rpm)\/(rpmdb\.sqlite|Packages(?:\.db)?)$/;
const DPKG_RECORD = /^var\/lib\/dpkg\/status\.d\/[^/]+$/;
const PYTHON = /(?:^|\/)[^/]+(?:\.dist-info\/METADATA|\.egg-info\/PKG-INFO|\.egg-info)$/;
const NPM = /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/@][^/]*\/package\.json$/;
const JAVA = /\.[jwe]ar$/;
const LIBRARY = /\.(?:so|o|a|ko)(?:\.[0-9.]+)?$/;
/** Go's and Rust's runtimes alone are larger. */
const LEAST_EXECUTABLE_BYTES = 64 * 1024;

/** What a regular file can tell by its path, size and mode; `undefined` for nothing. */
export function metadataKind(path: string, size: number, mode: number): MetadataKind | undefined {
  if (Object.hasOwn(FIXED, path)) return FIXED[path];
  const rpm = RPM.exec(path);
  if (rpm) return rpm[1] === 'rpmdb.sqlite' ? 'rpm' : 'rpm-other';
  if (DPKG_RECORD.test(path)) return path.endsWith('.md5sums') ? undefined : 'dpkg-record';
  if (path.endsWith('/package.json')) return NPM.test(path) ? 'npm' : undefined;
  if (PYTHON.test(path)) return 'python';
  if (JAVA.test(path)) return 'java';
  const isProgram = (mode & 0o111) !== 0 && size >= LEAST_EXECUTABLE_BYTES && !LIBRARY.test(path);
  return isProgram ? 'executable' : undefined;
}

/** Whether it is a package manager's of the distribution, whose word goes over that of its packages' own files. */
export function isSystemKind(kind: MetadataKind): boolean {
  return kind !== 'python' && kind !== 'npm' && kind !== 'java' && kind !== 'executable';
}
