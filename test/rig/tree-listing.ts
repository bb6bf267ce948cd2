import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';

interface Manifest {
  readonly layers: readonly { readonly digest: string; readonly mediaType: string }[];
}

/** Everything visible of a tree but times: for each path type, mode, owner, link target, content, xattrs. */
export type TreeListing = ReadonlyMap<string, string>;

/** Prints a line for each node below the working directory, fields and paths separated so that any name is safe. */
const LIST = `
find . -mindepth 1 -printf '%P\\t%y %m %U:%G %l\\0' | sort -z | tr '\\n\\0' '?\\n'
echo ===CONTENT
find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z | tr '\\n\\0' '?\\n'
echo ===DEVICES
find . \\( -type c -o -type b \\) -print0 | sort -z | xargs -0 -r stat -c '%n %t:%T'
echo ===XATTRS
getfattr -Rhd -m - --absolute-names . | grep -v 'overlay\\|selinux' || true
`;

/** Lists a directory of the host. Needs root for capabilities and other people's files. */
export async function listDirectory(directory: string): Promise<TreeListing> {
  return parse((await execa('sh', ['-ec', LIST], { cwd: directory, maxBuffer: 1 << 28 })).stdout);
}

/**
 * Lists what the kernel shows of an image with squashfs layers: each blob loop-mounted, an overlay on top, in a mount
 * namespace of its own. This is the oracle: no code of stk's takes part.
 */
export async function listImage(layout: string, tag: string): Promise<TreeListing> {
  const { layers } = await readManifest(layout, tag);
  const script = [
    'mount -t tmpfs none /mnt; cd /mnt; mkdir merged empty',
    ...layers.map((layer, n) => `mkdir ${n}; mount -t squashfs -o loop,ro "${blobPath(layout, layer.digest)}" ${n}`),
    `mount -t overlay -o ro,userxattr,lowerdir=${layers
      .map((_, n) => n)
      .toReversed()
      .join(':')}:empty overlay merged`,
    'cd merged',
    LIST,
  ].join('\n');
  return parse((await execa('unshare', ['--mount', 'sh', '-ec', script], { maxBuffer: 1 << 28 })).stdout);
}

export async function readManifest(layout: string, tag: string): Promise<Manifest> {
  const index = JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8')) as {
    manifests: readonly { digest: string; annotations?: Readonly<Record<string, string>> }[];
  };
  const found = index.manifests.find(entry => entry.annotations?.['org.opencontainers.image.ref.name'] === tag);
  if (!found) throw new Error(`${layout} has no ${tag}`);
  return JSON.parse(await readFile(blobPath(layout, found.digest), 'utf8')) as Manifest;
}

export function blobPath(layout: string, digest: string): string {
  return path.join(layout, 'blobs', 'sha256', digest.slice('sha256:'.length));
}

/** The paths that differ, each with both sides, apart from those that match `except`. */
export function differences(left: TreeListing, right: TreeListing, except: RegExp): string[] {
  const rows: string[] = [];
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    if (except.test(name) || left.get(name) === right.get(name)) continue;
    rows.push(`${name}: ${left.get(name) ?? 'absent'} | ${right.get(name) ?? 'absent'}`);
  }
  return rows.toSorted();
}

function parse(stdout: string): TreeListing {
  const [nodes = '', rest = ''] = stdout.split('===CONTENT\n');
  const [contents = '', more = ''] = rest.split('===DEVICES\n');
  const [devices = '', xattrs = ''] = more.split('===XATTRS');
  const listing = new Map<string, string>();
  for (const line of nodes.split('\n')) {
    const [name, text] = line.split('\t');
    if (name && text !== undefined) listing.set(name, text);
  }
  const add = (name: string, text: string) => listing.set(name, `${listing.get(name) ?? ''} ${text}`);
  for (const line of contents.split('\n')) if (line !== '') add(line.slice(68), line.slice(0, 64));
  for (const line of devices.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0) add(line.slice(2, at), line.slice(at + 1));
  }
  for (const block of xattrs.split('\n\n')) {
    const [head = '', ...values] = block.trim().split('\n');
    if (head.startsWith('# file: ')) add(head.slice('# file: ./'.length), values.toSorted().join(' '));
  }
  return listing;
}
