import { isStkError } from '../core/errors.ts';
import type { FileInode } from '../squashfs/inode.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import { isOpaque, isWhiteout } from '../squashfs/overlay.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import { readExecutable } from './executable-packages.ts';
import type { FoundPackage, PackageSource } from './found-package.ts';
import {
  jarPackage,
  readJarManifest,
  readPackageJson,
  readPomProperties,
  readPythonMetadata,
} from './language-packages.ts';
import type { LayerPart } from './layer-part.ts';
import { listedPaths } from './listed-paths.ts';
import { isSystemKind, metadataKind, type MetadataKind } from './recognize.ts';
import { readApkInstalled, readDpkgStatus, readOsRelease, readRpmPackages, type Findings } from './system-packages.ts';
import { zipMembers, type ReadAt } from './zip-members.ts';

interface Candidate {
  readonly path: string;
  readonly kind: MetadataKind;
  readonly inode: FileInode;
}

const MAX_DATABASE_BYTES = 256 * 1024 * 1024;
const MAX_METADATA_BYTES = 4 * 1024 * 1024;
const MOST_CANDIDATES = 200_000;

/**
 * Reads what a layer says of packages. Metadata of a language's packages that the distribution's own packages brought in
 * this layer are passed over: those packages stand for them. Damaged files of the image are told in the part, a damaged
 * layer ends with `invalid-input`.
 */
export async function scanLayer(layer: SquashfsReader, signal?: AbortSignal): Promise<LayerPart> {
  const names: string[] = [];
  const opaque: string[] = [];
  const links = new Map<string, string>();
  const candidates: Candidate[] = [];
  for await (const { path, node } of layer.walk({ signal: signal as AbortSignal })) {
    if (node.type === 'directory') {
      if (node.xattrIndex !== undefined && isOpaque(await layer.xattrs(node, signal))) opaque.push(path);
      continue;
    }
    names.push(path);
    if (isWhiteout(node)) continue;
    if (node.type === 'symlink') links.set(path, node.target);
    if (node.type !== 'file' || candidates.length >= MOST_CANDIDATES) continue;
    const kind = metadataKind(path, node.size, node.mode);
    if (kind) candidates.push({ path, kind, inode: node });
  }
  const isForeign = candidates.some(({ kind }) => !isSystemKind(kind));
  // Not disposed of: it owns the layer.
  const listed = isForeign ? await listedPaths(new LayerStack([layer]), links, signal) : new Set();
  const sources: PackageSource[] = [];
  for (const candidate of candidates) {
    if (!isSystemKind(candidate.kind) && listed.has(candidate.path)) continue;
    const found = await findings(layer, candidate, signal);
    if (found && (found.packages.length > 0 || found.problem !== undefined || found.release)) {
      sources.push({ path: candidate.path, ...found });
    }
  }
  return { sources: sources.toSorted((a, b) => (a.path < b.path ? -1 : 1)), opaque, names: names.join('\n') };
}

async function findings(
  layer: SquashfsReader,
  { kind, inode, path }: Candidate,
  signal: AbortSignal | undefined,
): Promise<Findings | undefined> {
  const call = signal && { signal };
  const readAt: ReadAt = (offset, length) => layer.readFile(inode, { offset, length, ...call });
  const maxBytes = kind === 'rpm' || kind === 'dpkg' || kind === 'apk' ? MAX_DATABASE_BYTES : MAX_METADATA_BYTES;
  if (kind !== 'java' && kind !== 'executable' && kind !== 'rpm-other' && inode.size > maxBytes) {
    return { packages: [], problem: `it is larger than ${maxBytes} bytes` };
  }
  const text = async (encoding: 'utf8' | 'latin1') =>
    (await layer.readFile(inode, { maxBytes, ...call })).toString(encoding);
  try {
    switch (kind) {
      case 'os-release':
        return readOsRelease(await text('utf8'));
      case 'dpkg':
      case 'dpkg-record':
        return readDpkgStatus(await text('latin1'));
      case 'apk':
        return readApkInstalled(await text('latin1'));
      case 'rpm':
        return readRpmPackages(await layer.readFile(inode, { maxBytes, ...call }));
      case 'rpm-other':
        return { packages: [], problem: 'it is a database of rpm in an older format, which is not read' };
      case 'python':
        return readPythonMetadata(await text('utf8'));
      case 'npm':
        return readPackageJson(await text('utf8'));
      case 'java':
        return await readJar(readAt, inode.size, path);
      case 'executable':
        return await readExecutable(readAt, inode.size);
    }
  } catch (error) {
    // What is compressed in a way that is not read here, say: one file says nothing, the others do.
    if (!isStkError(error, 'unsupported')) throw error;
    return { packages: [], problem: error.message };
  }
}

async function readJar(readAt: ReadAt, size: number, path: string): Promise<Findings> {
  const isWanted = (name: string) =>
    name === 'META-INF/MANIFEST.MF' || /^META-INF\/maven\/.*\/pom\.properties$/.test(name);
  const members = await zipMembers(readAt, size, isWanted);
  if (!members) return { packages: [], problem: 'it is no whole archive' };
  const packages: FoundPackage[] = [];
  let manifest: ReadonlyMap<string, string> = new Map();
  for (const member of members.slice(0, 2000)) {
    const text = (await member.read())?.toString('utf8');
    if (text === undefined) continue;
    const found = member.name.endsWith('.MF') ? undefined : readPomProperties(text);
    if (member.name.endsWith('.MF')) manifest = readJarManifest(text);
    else if (found) packages.push(found);
  }
  const itself = packages.length === 0 ? jarPackage(path, manifest) : undefined;
  return { packages: itself ? [itself] : packages };
}
