import { availableParallelism } from 'node:os';
import type { AbsPath } from '../core/paths.ts';
import { readdir, stat } from '../host/files.ts';
import { OutputFile } from '../host/output-file.ts';
import { mksquashfs, type OwnerChange } from '../host/tools/mksquashfs.ts';
import type { IdRange, OwnerMap } from '../squashfs/owner-map.ts';
import { finishPacked } from './finish-blob.ts';
import type { LayerBlob } from './layer-blob.ts';
import { LostAcls } from './lost-acls.ts';
import type { LowerTree } from './lower-tree.ts';
import { cleanUpper, removeFromUpper } from './overlay-upper.ts';
import type { PackOptions } from './pack-options.ts';
import { shownPath } from './tar-error.ts';

/** Buffers of mksquashfs. More buys nothing measurable: it fills them only where the disk is slower than compression. */
const MEMORY_BYTES = 256 * 1024 * 1024;
const PROGRESS_INTERVAL_MS = 250;

export interface PackRequest {
  /** Upper directory of an overlay. It is modified (xattrs, excluded paths) and belongs to the packer. */
  readonly upper: AbsPath;
  readonly lower: LowerTree;
  /** The file to create; removed again on failure. */
  readonly output: AbsPath;
  readonly options: PackOptions;
  /** Paths in the image, and what is below them, that do not become part of the layer. */
  readonly exclude?: readonly string[];
  /** Other owners and groups for what is in the upper directory. No new one may be an old one of another. */
  readonly owners?: OwnerMap | undefined;
  /** Seconds since the Unix epoch; newer times are set to it. */
  readonly epochSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Receives the bytes written so far. */
  readonly onProgress?: (doneBytes: number) => void;
  /** Receives what was left out and why. */
  readonly onWarning?: (text: string) => void;
}

/** A packed layer; where `empty`, nothing but the root directory was there and no file was written. */
export type PackedLayer =
  | { readonly empty: true; readonly entries: 0 }
  | (LayerBlob & {
      readonly empty: false;
      /** Inodes, the root directory's aside: the names of a hard link count once. */
      readonly entries: number;
    });

const EMPTY: PackedLayer = { empty: true, entries: 0 };

/**
 * Packs the upper directory of an overlay as a squashfs layer. Whiteouts (character devices 0:0) and opaque marks stay
 * as they are, overlayfs's other xattrs, POSIX ACLs and sockets are left out. The same tree gives the same bytes, in whatever order
 * it was written, if an epoch is given; without one the times of the files differ from run to run. Throws `storage`
 * where the disk is full, `unsupported` for an upper that is not self-contained.
 */
export async function packLayer(request: PackRequest): Promise<PackedLayer> {
  const { upper, output, options, epochSeconds, signal, onWarning } = request;
  for (const path of request.exclude ?? []) await removeFromUpper(upper, path, signal);
  if ((await readdir(upper)).length === 0) return EMPTY;
  const { lostAcls } = await cleanUpper(upper, request.lower, signal);
  const image = await OutputFile.create(output);
  try {
    await using _progress = reportSize(output, request.onProgress);
    const { entries, sockets } = await mksquashfs(upper, image, {
      compressor: options.compressor,
      ...(options.level === undefined ? {} : { level: options.level }),
      blockSizeBytes: options.blockSizeBytes,
      processors: availableParallelism(),
      memoryBytes: MEMORY_BYTES,
      ...(epochSeconds === undefined ? {} : { epochSeconds }),
      owners: ownerChanges(request.owners),
      signal,
    });
    if (sockets.length > 0) onWarning?.(`sockets are not part of a layer and were left out: ${sockets.join(', ')}`);
    if (entries === 0) {
      await image.remove();
      return EMPTY;
    }
    const lost = new LostAcls();
    for (const path of [...lostAcls].sort()) lost.add(shownPath(path === '.' ? '/' : `/${path}`));
    lost.report(onWarning);
    const blob = await finishPacked(image, { verity: options.verity, signal });
    return { ...blob, empty: false, entries };
  } catch (error) {
    await image.remove();
    throw error;
  } finally {
    await image[Symbol.asyncDispose]();
  }
}

function ownerChanges({ uids, gids }: OwnerMap = { uids: [], gids: [] }): readonly OwnerChange[] {
  const single = (of: OwnerChange['of'], ranges: readonly IdRange[]) =>
    ranges.flatMap(({ from, to, count }) =>
      Array.from({ length: count }, (_, index) => ({ of, from: from + index, to: to + index })),
    );
  return [...single('uid', uids), ...single('gid', gids)];
}

/** Tells the size of a growing file now and then, until disposed. */
function reportSize(path: AbsPath, report: ((doneBytes: number) => void) | undefined): AsyncDisposable {
  const look = () =>
    void stat(path).then(
      ({ size }) => report?.(size),
      () => {},
    );
  const timer = report ? setInterval(look, PROGRESS_INTERVAL_MS) : undefined;
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
    },
  };
}
