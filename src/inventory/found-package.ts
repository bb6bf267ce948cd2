/** Kinds of packages, called as package URLs call them. */
export type PackageType = 'deb' | 'apk' | 'rpm' | 'pypi' | 'npm' | 'golang' | 'cargo' | 'maven';

/** A package as the files of an image tell of it. */
export interface FoundPackage {
  readonly type: PackageType;
  /** As its ecosystem has it: with the scope of npm, the whole path of a Go module. */
  readonly name: string;
  readonly version: string;
  /** Group of a Maven artifact. */
  readonly group?: string;
  readonly architecture?: string;
  /** What a package of a distribution was built from. */
  readonly source?: { readonly name: string; readonly version: string };
  /** As it is stated, an expression of SPDX or not. */
  readonly licence?: string;
}

/** `ID`, `VERSION_ID` and `PRETTY_NAME` of os-release(5). */
export interface OsRelease {
  readonly id: string;
  readonly version?: string;
  readonly title?: string;
}

/** What one file with metadata of packages says. */
export interface PackageSource {
  /** In the form of `imagePath`, a byte string. */
  readonly path: string;
  readonly packages: readonly FoundPackage[];
  /** What is wrong with the file: it may have more packages than were found. */
  readonly problem?: string;
  readonly release?: OsRelease;
}

/** No two packages are told apart by what this leaves out. */
export function packageKey({ type, group = '', name, version, architecture = '' }: FoundPackage): string {
  return [type, group, name, version, architecture].join('\0');
}

/** Text as far as it is fit for a document: of one line, without control characters, not endless. */
export function plainText(text: string, most = 500): string {
  return text
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .trim()
    .slice(0, most);
}
