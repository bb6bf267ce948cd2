import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { findTool } from '../find-tool.ts';
import { canAccess } from '../privileges.ts';

/** Control node of the device-mapper: absent where the kernel was built without it or hides it from a container. */
const CONTROL = '/dev/mapper/control';

export interface VerityDevice {
  /** Device name, up to 127 characters; the device appears below /dev/mapper. */
  readonly name: string;
  /** Holds data, then superblock and hash tree. */
  readonly file: AbsPath;
  readonly hashOffset: number;
  readonly root: string;
}

/** What dm-verity lacks on this host, in words; `undefined` where it can be used. */
export async function missingForDmVerity(): Promise<string | undefined> {
  if (!(await canAccess(CONTROL, 'read-write'))) return `this kernel offers no device-mapper (${CONTROL} is absent)`;
  return (await findTool('veritysetup')) === undefined ? 'veritysetup is not installed' : undefined;
}

/** Opens a verified read-only block device over a file and returns its path. Needs real root. */
export async function openVerityDevice(device: VerityDevice, signal?: AbortSignal): Promise<AbsPath> {
  const { name, file, hashOffset, root } = device;
  await runTool('veritysetup', ['open', `--hash-offset=${hashOffset}`, file, name, file, root], { signal });
  return `/dev/mapper/${name}` as AbsPath;
}

/** Closes a device; one that is in use goes away with its last user. Its loop device goes with it. */
export async function closeVerityDevice(name: string): Promise<void> {
  await runTool('veritysetup', ['close', '--deferred', name]);
}
