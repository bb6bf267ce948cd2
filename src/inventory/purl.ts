import { PackageURL } from 'packageurl-js';
import type { FoundPackage, OsRelease } from './found-package.ts';
import type { SbomSubject } from './sbom-subject.ts';

/** The package URL of a package in an image of a distribution; `undefined` where its name or version makes none. */
export function packageUrl(found: FoundPackage, release: OsRelease | undefined): string | undefined {
  const { type, version } = found;
  const { namespace, name } = nameParts(found, release);
  const bare = type === 'rpm' ? /^(?:(\d+):)?(.*)$/s.exec(version)! : undefined;
  const qualifiers: Record<string, string> = {};
  if (found.architecture) qualifiers['arch'] = found.architecture;
  if (bare?.[1] && bare[1] !== '0') qualifiers['epoch'] = bare[1];
  if (type === 'deb' || type === 'apk' || type === 'rpm') {
    if (release) qualifiers['distro'] = release.version ? `${release.id}-${release.version}` : release.id;
    const upstream = upstreamOf(found);
    if (upstream) qualifiers['upstream'] = upstream;
  }
  return format({ type, namespace, name, version: bare?.[2] ?? version, qualifiers });
}

/** `pkg:oci/NAME@DIGEST` of an image. */
export function imageUrl({ name, digest, platform, repository }: SbomSubject): string | undefined {
  const qualifiers = { arch: platform.architecture, ...(repository ? { repository_url: repository } : {}) };
  const short = name.slice(name.lastIndexOf('/') + 1);
  return format({ type: 'oci', namespace: undefined, name: short, version: digest, qualifiers });
}

/** What scanners look source packages up by, where they are called or numbered otherwise than what was built from them. */
function upstreamOf({ name, version, source }: FoundPackage): string | undefined {
  if (!source || (source.name === name && source.version === version)) return undefined;
  return source.version === version ? source.name : `${source.name}@${source.version}`;
}

function nameParts({ type, name, group }: FoundPackage, release: OsRelease | undefined) {
  if (type === 'deb' || type === 'apk' || type === 'rpm')
    return { namespace: release?.id ?? defaultVendor(type), name };
  if (type === 'maven') return { namespace: group ?? name, name };
  const slash = type === 'npm' || type === 'golang' ? name.lastIndexOf('/') : -1;
  return slash < 0 ? { namespace: undefined, name } : { namespace: name.slice(0, slash), name: name.slice(slash + 1) };
}

function defaultVendor(type: 'deb' | 'apk' | 'rpm'): string {
  return type === 'deb' ? 'debian' : type === 'apk' ? 'alpine' : 'redhat';
}

interface UrlParts {
  readonly type: string;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly version: string;
  readonly qualifiers: Record<string, string>;
}

function format({ type, namespace, name, version, qualifiers }: UrlParts): string | undefined {
  try {
    return new PackageURL(type, namespace, name, version || undefined, qualifiers, undefined).toString();
  } catch {
    return undefined;
  }
}
