import { parseInstalled } from '../apply/apk/apk-records.ts';
import { readRpmDatabase } from '../apply/rpm/rpm-database.ts';
import { imagePath } from '../core/paths.ts';
import type { LayerStack, MergedNode } from '../squashfs/layer-stack.ts';

/** Targets of symbolic links by their paths. */
export type Links = ReadonlyMap<string, string>;

const MAX_LIST_BYTES = 32 * 1024 * 1024;
const MAX_DATABASE_BYTES = 256 * 1024 * 1024;
const MOST_LINKS = 40;
/** Directories that merged distributions have below `/usr`. */
const MERGED = new Set(['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']);

/**
 * Paths that the distribution's packages say are theirs, in the form of `imagePath`, as they lie in the tree: links on the
 * way are followed, and what was diverted is where it was diverted to.
 * @param links of the tree, those of its directories at least
 */
export async function listedPaths(tree: LayerStack, links: Links, signal?: AbortSignal): Promise<ReadonlySet<string>> {
  const listed = new Set<string>();
  const place = placer(links);
  const add = (stated: string) => {
    for (const path of place(stated)) listed.add(path);
  };
  const read = async (node: MergedNode, maxBytes: number): Promise<Buffer | undefined> => {
    if (node.inode.type !== 'file' || node.inode.size > maxBytes) return undefined;
    return tree.readFile(node, { maxBytes, ...(signal && { signal }) });
  };
  const each = async (directory: string, suffix: string, use: (text: string) => void) => {
    const found = await tree.lookup(directory, signal);
    if (!found) return;
    for await (const { name, node } of tree.readDirectory(found, signal)) {
      const bytes = name.endsWith(suffix) ? await read(node, MAX_LIST_BYTES) : undefined;
      if (bytes) use(bytes.toString('latin1'));
    }
  };
  const file = async (path: string, use: (bytes: Buffer) => void) => {
    const found = await tree.lookup(path, signal);
    const bytes = found && (await read(found, MAX_DATABASE_BYTES));
    if (bytes) use(bytes);
  };
  await each('var/lib/dpkg/info', '.list', text => text.split('\n').forEach(add));
  await each('var/lib/dpkg/status.d', '.md5sums', text => {
    for (const line of text.split('\n')) add(line.replace(/^[0-9a-f]{32} [ *]/, ''));
  });
  for (const directory of ['lib/apk/db', 'usr/lib/apk/db']) {
    await file(`${directory}/installed`, bytes => {
      const parsed = parseInstalled(bytes.toString('latin1'));
      if (!('problem' in parsed)) for (const one of parsed.values()) one.files().forEach(add);
    });
  }
  for (const directory of ['var/lib/rpm', 'usr/lib/sysimage/rpm', 'usr/share/rpm']) {
    await file(`${directory}/rpmdb.sqlite`, bytes => {
      const database = readRpmDatabase(bytes);
      if (!('problem' in database)) for (const one of database.packages) one.files().forEach(add);
    });
  }
  await file('var/lib/dpkg/diversions', bytes => {
    const lines = bytes.toString('latin1').split('\n');
    for (let at = 0; at + 2 < lines.length; at += 3) {
      if (place(lines[at]!).some(path => listed.has(path))) add(lines[at + 1]!);
    }
  });
  return listed;
}

/** Where what a package lists may lie. */
function placer(links: Links): (stated: string) => readonly string[] {
  const directories = new Map<string, readonly string[]>();
  return stated => {
    const path = imagePath(stated);
    const slash = path.lastIndexOf('/');
    if (slash < 0) return path === '' ? [] : [path];
    const directory = path.slice(0, slash);
    let places = directories.get(directory);
    if (!places) directories.set(directory, (places = placesOf(directory, links)));
    return places.map(place => `${place}${path.slice(slash)}`);
  };
}

function placesOf(directory: string, links: Links): readonly string[] {
  const first = directory.split('/', 1)[0]!;
  const resolved = followLinks(directory, links);
  // A layer need not hold the link that is below it.
  return resolved === directory && MERGED.has(first) ? [directory, `usr/${directory}`] : [resolved];
}

function followLinks(path: string, links: Links): string {
  const pending = path.split('/').toReversed();
  let at = '';
  for (let followed = 0; pending.length > 0;) {
    const next = imagePath(`${at}/${pending.pop()!}`);
    const target = links.get(next);
    if (target === undefined) at = next;
    else if (++followed > MOST_LINKS) return path;
    else {
      if (target.startsWith('/')) at = '';
      pending.push(...target.split('/').toReversed());
    }
  }
  return at;
}
