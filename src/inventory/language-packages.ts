import { plainText, type FoundPackage } from './found-package.ts';
import type { Findings } from './system-packages.ts';

/** `METADATA` of a wheel, `PKG-INFO` of an egg (core metadata of Python packages). */
export function readPythonMetadata(text: string): Findings {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === '') break;
    const [, name, value = ''] = /^(Name|Version|License|License-Expression):\s*(.*)$/i.exec(line) ?? [];
    if (name && !fields.has(name.toLowerCase())) fields.set(name.toLowerCase(), plainText(value));
  }
  const [name, version] = [fields.get('name'), fields.get('version')];
  if (!name || !version) return { packages: [], problem: 'it has no name or no version' };
  const licence = fields.get('license-expression') ?? fields.get('license');
  return { packages: [{ type: 'pypi', name, version, ...withLicence(licence) }] };
}

/** `package.json` of an installed npm package. */
export function readPackageJson(text: string): Findings {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { packages: [], problem: 'it is no JSON' };
  }
  if (typeof value !== 'object' || value === null) return { packages: [], problem: 'it is no object' };
  const { name, version, license } = value as Record<string, unknown>;
  // Directories of one package have such files, too, which only say how to load it.
  if (name === undefined || version === undefined) return { packages: [] };
  if (typeof name !== 'string' || typeof version !== 'string' || !/^(?:@[^/\s]+\/)?[^/\s]+$/.test(name)) {
    return { packages: [], problem: 'its name or version is none' };
  }
  const licence = typeof license === 'string' ? license : undefined;
  return { packages: [{ type: 'npm', name: plainText(name), version: plainText(version), ...withLicence(licence) }] };
}

/** Attributes by lower-case name of the main section of a manifest (JAR file specification). */
export function readJarManifest(text: string): ReadonlyMap<string, string> {
  const attributes = new Map<string, string>();
  for (const line of text.replace(/\r\n?/g, '\n').replace(/\n /g, '').split('\n')) {
    if (line === '') break;
    const colon = line.indexOf(':');
    if (colon > 0) attributes.set(line.slice(0, colon).toLowerCase(), plainText(line.slice(colon + 1)));
  }
  return attributes;
}

/** What Maven leaves in an archive; `undefined` where it names no artifact. */
export function readPomProperties(text: string): FoundPackage | undefined {
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name, value = ''] = /^\s*(groupId|artifactId|version)\s*[=:]\s*(.*)$/.exec(line) ?? [];
    if (name) values.set(name, plainText(value));
  }
  const [group, name, version] = [values.get('groupId'), values.get('artifactId'), values.get('version')];
  return name && version ? { type: 'maven', ...(group ? { group } : {}), name, version } : undefined;
}

/** The archive itself, by its manifest or else by its name; `undefined` where neither has a version. */
export function jarPackage(path: string, manifest: ReadonlyMap<string, string>): FoundPackage | undefined {
  const stem = path.slice(path.lastIndexOf('/') + 1).replace(/\.[jwe]ar$/, '');
  const [, fileName, fileVersion] = /^(.+?)-(\d[\w.+-]*)$/.exec(stem) ?? [];
  const symbolic = manifest.get('bundle-symbolicname')?.split(';')[0];
  const name = fileName ?? manifest.get('implementation-title') ?? symbolic ?? stem;
  const version = manifest.get('implementation-version') ?? manifest.get('bundle-version') ?? fileVersion;
  const group = manifest.get('implementation-vendor-id');
  return version ? { type: 'maven', ...(group ? { group } : {}), name: plainText(name), version } : undefined;
}

function withLicence(licence: string | undefined): { readonly licence?: string } {
  // What is no name, but the text of a licence, says nothing here.
  return licence && licence.length <= 100 && licence !== 'UNKNOWN' ? { licence: plainText(licence) } : {};
}
