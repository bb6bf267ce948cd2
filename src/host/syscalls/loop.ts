import os from 'node:os';
import { StkError, errnoOf } from '../../core/errors.ts';
import { hostBytes } from '../../core/host-text.ts';
import type { AbsPath } from '../../core/paths.ts';
import { open, type FileHandle } from '../files.ts';
import { syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const ioctl = nativeFunction('ioctl', 'int', ['int', 'ulong', 'void *']);
const ioctlNumber = nativeFunction('ioctl', 'int', ['int', 'ulong', 'long']);

const CONTROL = '/dev/loop-control';
/** include/uapi/linux/loop.h */
const LOOP_SET_FD = 0x4c00;
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CTL_GET_FREE = 0x4c82;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
/** `struct loop_config`: descriptor and block size, then `struct loop_info64` (232 bytes), then 64 reserved ones. */
const CONFIG_BYTES = 304;
const INFO_AT = 8;
const INFO_BYTES = 232;
const FLAGS_AT = INFO_AT + 52;
const NAME_AT = INFO_AT + 56;
const NAME_BYTES = 63;

const { EBUSY, EINVAL, ENOTTY } = os.constants.errno;
/** Others take free devices between our question and our use: so many times in a row is no chance. */
const ATTEMPTS = 64;

/** A loop device that shows a file read-only. It goes once nothing has it open or mounted any more: see `device`. */
export interface LoopDevice extends AsyncDisposable {
  readonly path: AbsPath;
}

/**
 * Sets up a loop device for a file, read-only, which detaches itself (autoclear) after its last use. Dispose it once it is
 * mounted, or is not to be used: that closes it. Needs real root. Throws `missing-capability` where there are no loop
 * devices.
 */
export async function openLoopDevice(file: AbsPath): Promise<LoopDevice> {
  await using backing = await open(file, 'r');
  await using control = await openControl();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { value: number, errno } = ioctlNumber.call(control.fd, LOOP_CTL_GET_FREE, 0);
    if (number < 0) throw loopFailure(errno, CONTROL);
    const path = `/dev/loop${number}` as AbsPath;
    const device = await openDevice(path);
    if (device && attach(device, backing, file)) return { path, [Symbol.asyncDispose]: () => device.close() };
    await device?.close();
  }
  throw loopFailure(EBUSY, CONTROL);
}

async function openControl(): Promise<FileHandle> {
  return open(CONTROL, 'r+').catch((cause: unknown) => {
    throw noDevices(CONTROL, cause);
  });
}

/** `undefined` where somebody took it away between. */
async function openDevice(path: AbsPath): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    if (errnoOf(cause) === 'ENXIO' || errnoOf(cause) === 'ENODEV') return undefined;
    throw noDevices(path, cause);
  }
}

/** Whether the device is ours now: `false` where somebody else was faster. */
function attach(device: FileHandle, backing: FileHandle, file: AbsPath): boolean {
  const config = Buffer.alloc(CONFIG_BYTES);
  config.writeUInt32LE(backing.fd, 0);
  config.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR, FLAGS_AT);
  // For those who list devices; the kernel finds the file by its descriptor.
  hostBytes(file).copy(config, NAME_AT, 0, NAME_BYTES);
  const { errno } = ioctl.call(device.fd, LOOP_CONFIGURE, config);
  if (errno === 0) return true;
  if (errno === EBUSY) return false;
  // Before Linux 5.8, in two steps.
  if (errno !== EINVAL && errno !== ENOTTY) throw loopFailure(errno, file);
  return attachInSteps(device, backing, config.subarray(INFO_AT, INFO_AT + INFO_BYTES));
}

function attachInSteps(device: FileHandle, backing: FileHandle, info: Buffer): boolean {
  const { errno } = ioctlNumber.call(device.fd, LOOP_SET_FD, backing.fd);
  if (errno === EBUSY) return false;
  if (errno !== 0) throw loopFailure(errno, 'LOOP_SET_FD');
  const set = ioctl.call(device.fd, LOOP_SET_STATUS64, info);
  if (set.errno === 0) return true;
  ioctlNumber.call(device.fd, LOOP_CLR_FD, 0);
  throw loopFailure(set.errno, 'LOOP_SET_STATUS64');
}

function loopFailure(errno: number, path: string): StkError {
  return syscallFailure({ call: 'ioctl', errno, attempt: 'set up a loop device for', path });
}

function noDevices(path: string, cause: unknown): StkError {
  return new StkError('missing-capability', `no free loop device: cannot open ${path} (${errnoOf(cause)})`, {
    cause,
    hint: 'sudo modprobe loop; in a container, it needs the device nodes of loop devices',
    facts: { path },
  });
}
