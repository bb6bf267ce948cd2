import { StkError, errnoOf } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool } from '../exec.ts';
import { missingForDevice } from '../device-node.ts';
import { open } from '../files.ts';
import { findTool } from '../find-tool.ts';
import { canAccess } from '../privileges.ts';

/** Control node of the device-mapper: absent where the kernel was built without it or hides it from a container. */
const CONTROL = '/dev/mapper/control';

/** dm-verity's unit in every layer that stk takes. */
const BLOCK_BYTES = 4096;

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
  const missing = await missingForDevice(CONTROL);
  if (missing !== undefined) return `this kernel offers no device-mapper: ${missing}`;
  return (await findTool('veritysetup')) === undefined ? 'veritysetup is not installed' : undefined;
}

/**
 * Opens a verified read-only block device over a file and returns its path. Needs real root. The kernel compares nothing
 * before something is read, so the first block is read here: with another root hash, every read fails. Throws `integrity`
 * then, and the device is closed.
 */
export async function openVerityDevice(device: VerityDevice, signal?: AbortSignal): Promise<AbsPath> {
  const { name, file, hashOffset, root } = device;
  await runTool('veritysetup', ['open', `--hash-offset=${hashOffset}`, file, name, file, root], { signal });
  const path = `/dev/mapper/${name}` as AbsPath;
  try {
    await readFirstBlock(path);
  } catch (cause) {
    await closeVerityDevice(name);
    if (errnoOf(cause) !== 'EIO') throw cause;
    throw new StkError('integrity', `the first block of ${file} does not match its verity root hash`, {
      cause,
      hint: 'the blob was damaged or the root hash is of another one; run `stk verify` on the image',
      facts: { path: file, verityRoot: root },
    });
  }
  return path;
}

async function readFirstBlock(device: AbsPath): Promise<void> {
  await using handle = await open(device, 'r');
  await handle.read(Buffer.alloc(BLOCK_BYTES), 0, BLOCK_BYTES, 0);
}

/**
 * Closes a device; one that is in use goes away with its last user. Its loop device goes with it. None of that name is no
 * error.
 */
export async function closeVerityDevice(name: string): Promise<void> {
  if (!(await canAccess(`/dev/mapper/${name}`, 'read'))) return;
  await runTool('veritysetup', ['close', '--deferred', name]);
}
