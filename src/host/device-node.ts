import { open } from './files.ts';
import { errnoOf } from '../core/errors.ts';

/**
 * Why a device cannot be used, in words; `undefined` where it can be opened for reading and writing. It is opened, since a
 * node says nothing of a driver behind it: access(2) succeeds on one that a program made on a kernel without it. Opening
 * also has the kernel load a driver that comes as a module.
 */
export async function missingForDevice(path: string): Promise<string | undefined> {
  try {
    await (await open(path, 'r+')).close();
    return undefined;
  } catch (error) {
    switch (errnoOf(error)) {
      case 'ENOENT':
        return `${path} is absent`;
      case 'ENODEV':
      case 'ENXIO':
        return `${path} is there, but this kernel has no driver behind it`;
      default:
        return `${path} cannot be opened for reading and writing`;
    }
  }
}
