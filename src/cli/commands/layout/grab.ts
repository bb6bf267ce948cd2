import path from 'node:path';
import { findBuilt } from '../../../builder/built-image.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { StkError } from '../../../core/errors.ts';
import { byteString } from '../../../core/host-text.ts';
import { absPath, imagePath, joinInside, type AbsPath } from '../../../core/paths.ts';
import { storageError } from '../../../host/atomic-write.ts';
import { rename, stat } from '../../../host/files.ts';
import { makeTempDir } from '../../../host/temp-dir.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { findManifest } from '../../../oci/resolve-image.ts';
import { copyNode } from '../../../sources/extract.ts';
import { openLayerStack } from '../../../sources/layer-stack.ts';
import type { StackLayer } from '../../../sources/ports.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { Session } from '../../session.ts';

/** `stk grab NAME:/path [DEST]`: nothing is mounted, and the copy appears under its name when it is whole. */
export async function runGrab(session: Session, file: string, dest: string | undefined): Promise<number> {
  const { signal } = session;
  const [, name, wanted] = /^(.+?):(\/.*)$/s.exec(file) ?? [];
  if (name === undefined || wanted === undefined) {
    throw new StkError('usage', `${file} names no file of an image`, {
      hint: 'write NAME:/path, such as app:/etc/passwd',
    });
  }
  const target = await targetOf(session, dest, path.posix.basename(imagePath(wanted)) || name);
  const layout = await LayoutStore.open(session.global.ociDir);
  await using _blobs = await layout.lockBlobs('shared', { signal });
  const layers = await layersOf(session, layout, name);
  await using stack = await openLayerStack(layout, layers, signal);
  const found = await stack?.resolve(byteString(wanted), signal);
  if (!stack || !found) {
    throw new StkError('not-found', `image ${name} has no ${wanted}`, { hint: `look what it has: stk ls ${name}:/` });
  }
  try {
    await using temporary = await makeTempDir(path.dirname(target), 'grab');
    const copy = joinInside(temporary.path, 'copy');
    await copyNode(stack, found.node, copy, signal);
    await rename(copy, target);
  } catch (error) {
    throw storageError(error, target);
  }
  return 0;
}

/** As cp(1) has it: into a directory that is there, else under the name itself. Only a file replaces a file. */
async function targetOf(session: Session, dest: string | undefined, name: string): Promise<AbsPath> {
  const place = absPath(dest ?? '.', session.workingDirectory);
  const isDirectory = async (file: AbsPath) => (await stat(file).catch(() => undefined))?.isDirectory() === true;
  const target = dest?.endsWith('/') || (await isDirectory(place)) ? joinInside(place, name) : place;
  const parent = path.dirname(target) as AbsPath;
  if (!(await stat(parent).catch(() => undefined))?.isDirectory()) {
    throw new StkError('not-found', `there is no directory ${parent}`, { hint: 'make it, or name another place' });
  }
  if (await isDirectory(target)) {
    throw new StkError('conflict', `${target} is a directory`, { hint: 'name another place: stk grab FILE DEST' });
  }
  return target;
}

/** Squashfs layers of what was built last under a name; of the tag, for this host, where something else has moved it since. */
async function layersOf(
  session: Session,
  layout: LayoutStore,
  name: string,
): Promise<readonly Pick<StackLayer, 'squashfs'>[]> {
  const records = new RecordCache(stateDirectories(session.global.stkDir).records);
  const built = await findBuilt(records, layout, name);
  const { signal } = session;
  const isTagged = (await layout.resolve(name)) !== undefined;
  if (built && !isTagged) return built.layers;
  if (!isTagged) {
    throw new StkError('not-found', `no image ${name} has been built`, { hint: `build it: stk build ${name}` });
  }
  const { descriptor, manifest } = await findManifest(layout, name, hostPlatform(), { signal });
  if (built?.manifests.some(({ digest }) => digest === descriptor.digest)) return built.layers;
  const { layers } = manifest;
  if (layers.some(layer => layerFormat(layer.mediaType).kind !== 'squashfs')) {
    throw new StkError('unsupported', `${name} is no image with squashfs layers`, {
      hint: `convert it first: stk convert ${name} ${name}-squashfs`,
    });
  }
  return layers.map(squashfs => ({ squashfs }));
}
