import path from 'node:path';
import type { AbsPath } from '../core/paths.ts';
import { lstat, unlink } from '../host/files.ts';
import { readTreeXattrs } from '../host/tree-xattrs.ts';
import { findCharacterDevices, pathBelow } from '../host/walk-tree.ts';
import type { LowerLookup } from '../layer/lower-tree.ts';
import { keepingTimes } from './directory-times.ts';
import { OPAQUE_VALUE } from '../layer/overlay-xattrs.ts';

const OPAQUE_XATTRS = /^(?:user|trusted)\.overlay\.opaque$/;

/**
 * Removes whiteouts that hide nothing from an upper tree: what they deleted was never in the image, but in something that
 * was mounted below it, or in another image. In a directory that is not merged, overlayfs would list their names.
 */
export async function dropIdleWhiteouts(tree: AbsPath, lower: LowerLookup, signal?: AbortSignal): Promise<void> {
  const devices = await findCharacterDevices(tree, signal);
  if (devices.length === 0) return;
  const opaque = await opaqueDirectories(tree, signal);
  const idle: string[] = [];
  for (const device of devices) {
    if ((await lstat(pathBelow(tree, device))).rdev !== 0) continue;
    if (isBelow(device, opaque) || (await lower.lookup(device)) === undefined) idle.push(device);
  }
  await keepingTimes(tree, idle, async () => {
    for (const device of idle) await unlink(pathBelow(tree, device));
  });
}

async function opaqueDirectories(tree: AbsPath, signal: AbortSignal | undefined): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const { path: file, xattrs } of readTreeXattrs(tree, OPAQUE_XATTRS, signal)) {
    if ([...xattrs.values()].some(value => value.equals(OPAQUE_VALUE))) found.add(file);
  }
  return found;
}

function isBelow(file: string, directories: ReadonlySet<string>): boolean {
  for (let at = path.posix.dirname(file); at !== '.'; at = path.posix.dirname(at)) {
    if (directories.has(at)) return true;
  }
  return false;
}
