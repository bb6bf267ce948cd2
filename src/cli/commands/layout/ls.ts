import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import { StkError } from '../../../core/errors.ts';
import { byteString, textOfByteString } from '../../../core/host-text.ts';
import { imagePath } from '../../../core/paths.ts';
import { OpenLayers } from '../../../lazy/open-layers.ts';
import type { Descriptor, Manifest } from '../../../oci/descriptor.ts';
import { listImages } from '../../../oci/list-images.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { FoundImage } from '../../../stores/find-image.ts';
import type { Inode } from '../../../squashfs/inode.ts';
import { isWhiteout } from '../../../squashfs/overlay.ts';
import type { SquashfsReader } from '../../../squashfs/squashfs-reader.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { quotedByteString, quotedName } from '../../ui/quoted-name.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageOrPath } from '../images/image-names.ts';
import { readableLayers } from '../images/readable-layers.ts';
import { OutputLines } from '../../ui/output-lines.ts';

export interface LsFlags extends ImageFlags {
  readonly long?: boolean;
  readonly recursive?: boolean;
  readonly layer?: string;
  readonly json?: boolean;
}

interface Row {
  /** Byte string. */
  readonly path: string;
  readonly inode: Inode;
}

const TYPE_LETTERS: Readonly<Record<Inode['type'], string>> = {
  directory: 'd',
  file: '-',
  symlink: 'l',
  block: 'b',
  char: 'c',
  fifo: 'p',
  socket: 's',
};

/** `stk ls [REF[:path]]`: reads the squashfs blobs where they lie, nothing is mounted. */
export async function runLs(session: Session, ref: string | undefined, flags: LsFlags): Promise<number> {
  if (ref === undefined) return listTags(session, await LayoutStore.open(session.global.ociDir));
  const name = imageOrPath(ref, flags);
  await using scope = new AsyncScope();
  if (name.path === undefined && name.kind !== 'docker') {
    const { store, reference } = await session.stores.open(name, { held: false }, scope);
    if (reference === undefined) return await listTags(session, store);
  }
  const image = await findNamed(session, name, { ...flags, held: false }, scope);
  const lines = new OutputLines(session.stdout);
  for await (const row of rows(session, image, name.path ?? '/', flags)) {
    if (flags.json) await lines.write(jsonText(toJson(row)));
    else await lines.write(flags.long ? longLine(row) : quotedByteString(shownPath(row)));
  }
  await lines.flush();
  return 0;
}

async function listTags({ stdout, signal }: Session, store: BlobStore): Promise<number> {
  for await (const { tag } of listImages(store, { signal })) stdout.write(`${quotedName(tag)}\n`);
  return 0;
}

async function* rows(session: Session, image: FoundImage, wantedPath: string, flags: LsFlags): AsyncIterable<Row> {
  const { signal } = session;
  const { manifest, store, name } = image;
  const wanted = flags.layer === undefined ? undefined : pickLayer(manifest, flags.layer);
  const layers = readableLayers({ name, manifest: wanted ? { ...manifest, layers: [wanted] } : manifest });
  await using opened = new OpenLayers();
  const stack = await opened.stack(store, layers, signal);
  if (!stack) return;
  const path = byteString(wantedPath);
  if (wanted) {
    yield* layerRows(stack.layers[0]!, imagePath(path), flags, signal);
    return;
  }
  const found = await stack.resolve(path, signal);
  if (!found) throw new StkError('not-found', `${name} has no ${wantedPath}`);
  if (found.node.inode.type !== 'directory') yield { path: found.path, inode: found.node.inode };
  else if (flags.recursive) {
    for await (const { path: inner, node } of stack.walk({ path: found.path, signal })) {
      if (inner !== found.path) yield { path: inner, inode: node.inode };
    }
  } else {
    for await (const { name: entry, node } of stack.readDirectory(found.node, signal)) {
      yield { path: entry, inode: node.inode };
    }
  }
}

/** One layer as it is, whiteouts included. */
async function* layerRows(
  layer: SquashfsReader,
  base: string,
  flags: LsFlags,
  signal: AbortSignal,
): AsyncIterable<Row> {
  for await (const { path, node } of layer.walk({ path: base, signal })) {
    const below = base === '' ? path : path.slice(base.length + 1);
    if (below !== '' && (flags.recursive || !below.includes('/'))) yield { path, inode: node };
  }
}

function pickLayer(manifest: Manifest, prefix: string): Descriptor {
  const wanted = prefix.startsWith('sha256:') ? prefix : `sha256:${prefix}`;
  const found = manifest.layers.filter(layer => layer.digest.startsWith(wanted));
  if (found.length === 1) return found[0]!;
  throw new StkError('not-found', `${found.length} layers of the image begin with ${prefix}`, {
    hint: `they are: ${manifest.layers.map(layer => layer.digest.slice(7, 19)).join(', ')}`,
  });
}

function toJson(row: Row): object {
  const { inode } = row;
  return {
    path: textOfByteString(shownPath(row)),
    type: isWhiteout(inode) ? 'whiteout' : inode.type,
    mode: inode.mode.toString(8).padStart(4, '0'),
    uid: inode.uid,
    gid: inode.gid,
    size: inode.size,
    mtime: inode.mtime,
    ...(inode.type === 'symlink' ? { target: textOfByteString(inode.target) } : {}),
    ...('major' in inode ? { device: [inode.major, inode.minor] } : {}),
  };
}

function longLine(row: Row): string {
  const { inode } = row;
  const time = new Date(inode.mtime * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const size = 'major' in inode ? `${inode.major}, ${inode.minor}` : formatBytes(inode.size);
  const target = inode.type === 'symlink' ? ` -> ${quotedByteString(inode.target)}` : '';
  const mark = isWhiteout(inode) ? ' (whiteout)' : '';
  const owner = `${inode.uid}/${inode.gid}`.padEnd(9);
  const mode = `${TYPE_LETTERS[inode.type]}${modeText(inode.mode)}`;
  return `${mode} ${owner} ${size.padStart(8)} ${time} ${quotedByteString(shownPath(row))}${target}${mark}`;
}

/** As `ls -l` writes permission bits, set-id and sticky bits included. */
function modeText(mode: number): string {
  const triple = (shift: number, special: number, letter: string) => {
    const bits = mode >> shift;
    const execute = (bits & 1) !== 0;
    const marked = execute ? letter : letter.toUpperCase();
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${mode & special ? marked : execute ? 'x' : '-'}`;
  };
  return triple(6, 0o4000, 's') + triple(3, 0o2000, 's') + triple(0, 0o1000, 't');
}

/** A byte string. */
function shownPath({ path }: Row): string {
  return path === '' ? '/' : path;
}
