import path from 'node:path';
import { hostText } from '../core/host-text.ts';
import { chmod, lstat, readFile, realpath, rename } from '../host/files.ts';
import { contentKey } from '../plan/content-key.ts';
import { digestHex, digestOf, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { copyTree } from '../host/tools/copy.ts';
import { makePlainDir } from '../host/usual-settings.ts';
import { pathBelow } from '../host/walk-tree.ts';
import { findAcls } from '../layer/host-acl.ts';
import { LostAcls } from '../layer/lost-acls.ts';
import type { Import } from '../recipe/model.ts';
import type { FileDigests } from './file-digests.ts';
import { treeDigest, type TreeDigest } from './tree-digest.ts';

/** An import whose content is known; `stage` puts a private copy of exactly that content at the returned path. */
export interface KnownImport {
  readonly import: Import;
  readonly tree: TreeDigest;
  /** Digest of content and wanted mode: what decides a step's result. */
  readonly key: Digest;
  /**
   * The copy is read-only by agreement, shared by all builds, and lies below a directory named after its digest.
   *
   * @param onWarning receives what it does not have of the original, and why
   */
  stage(signal?: AbortSignal, onWarning?: (text: string) => void): Promise<AbsPath>;
}

export interface ImportPorts {
  /** Directory of staged copies. */
  readonly store: AbsPath;
  readonly files: FileDigests;
  /** Downloads, or revalidates what was downloaded before; returns the local file. */
  readonly fetchHttp: (url: string, expected: Digest | undefined, signal?: AbortSignal) => Promise<AbsPath>;
  /** Takes a file or directory out of a built image; returns where it lies on the host. */
  readonly extract: (image: string, path: string, signal?: AbortSignal) => Promise<AbsPath>;
  readonly requireHash: boolean;
}

/** Finds out what an import holds, fetching it if need be, and checks it against the `hash` of the recipe. */
export async function identifyImport(entry: Import, ports: ImportPorts, signal?: AbortSignal): Promise<KnownImport> {
  const { source } = entry;
  if (ports.requireHash && source.type === 'http' && entry.hash === undefined) {
    throw new StkError('usage', `import ${source.url} has no hash`, {
      hint: 'add `hash: <sha256>` or drop --require-hash',
    });
  }
  const origin = await locate(entry, ports, signal);
  const tree = await treeDigest(origin, ports.files, signal);
  assertHash(entry, tree);
  const key = contentKey('import', undefined, { tree: tree.digest, mode: entry.mode ?? null, name: entry.name });
  return {
    import: entry,
    tree,
    key,
    stage: (inner, onWarning) => stage({ entry, origin, tree, key, onWarning }, ports, inner ?? signal),
  };
}

async function locate(entry: Import, ports: ImportPorts, signal: AbortSignal | undefined): Promise<AbsPath> {
  const { source } = entry;
  switch (source.type) {
    case 'path':
      return source.path;
    case 'http':
      return ports.fetchHttp(source.url, entry.hash, signal);
    case 'image':
      return ports.extract(source.image, source.path, signal);
    case 'content': {
      const file = joinInside(ports.store, path.join('inline', digestHex(digestOf(source.content))));
      await makePlainDir(path.dirname(file) as AbsPath);
      const known = await readFile(file, 'utf8').catch(() => undefined);
      if (known !== source.content) await writeFileAtomic(file, source.content, { exactMode: 0o644 });
      return file;
    }
  }
}

function assertHash(entry: Import, tree: TreeDigest): void {
  if (entry.hash === undefined || entry.hash === tree.content) return;
  const source = describeSource(entry);
  if (tree.content === undefined) {
    throw new StkError('invalid-input', `import ${source} is a directory: \`hash\` checks files only`);
  }
  throw new StkError('integrity', `import ${source}: the recipe says ${entry.hash}, the file is ${tree.content}`, {
    hint: 'check where the file comes from; if it is the right one, correct `hash` in the recipe',
    facts: { expected: entry.hash, found: tree.content },
  });
}

function describeSource(entry: Import): string {
  const { source } = entry;
  switch (source.type) {
    case 'path':
      return source.path;
    case 'http':
      return source.url;
    case 'image':
      return `stacker://${source.image}${source.path}`;
    case 'content':
      return `inline content for ${entry.dest ?? entry.name}`;
  }
}

interface Staging {
  readonly entry: Import;
  readonly origin: AbsPath;
  readonly tree: TreeDigest;
  readonly key: Digest;
  readonly onWarning: ((text: string) => void) | undefined;
}

async function stage(staging: Staging, ports: ImportPorts, signal: AbortSignal | undefined): Promise<AbsPath> {
  const { entry, tree } = staging;
  const home = joinInside(ports.store, digestHex(staging.key));
  const copy = joinInside(home, entry.name);
  const origin = (await realpath(staging.origin)) as AbsPath;
  const acls = await findAcls(origin, signal);
  const lost = new LostAcls();
  for (const file of acls.lost) lost.add(hostText(pathBelow(origin, file === '.' ? '' : file)));
  lost.report(staging.onWarning);
  // It got there by rename, complete, and nobody writes to it.
  if (await exists(copy)) return copy;
  await using temporary = await makeTempDir(ports.store, 'staging');
  const fresh = joinInside(temporary.path, entry.name);
  await copyTree(origin, fresh, signal);
  await acls.drop(fresh);
  const copied = await treeDigest(fresh, ports.files, signal);
  if (copied.digest !== tree.digest) {
    throw new StkError('conflict', `import ${describeSource(entry)} changed while it was read`, {
      hint: 'build again once nothing writes to it',
    });
  }
  if (entry.mode !== undefined) await chmod(fresh, entry.mode);
  await rename(temporary.path, home).catch((error: unknown) => {
    // Another build was faster with the same content.
    if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'EEXIST') throw error;
  });
  return copy;
}

async function exists(path: AbsPath): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
