import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type * as Koffi from 'koffi';
import { StkError, isStkError, messageOf } from '../../core/errors.ts';
import { existsSync } from '../files.ts';

/** What a C function of this room takes: integers, text (UTF-8 for C, copied), bytes (shared for the call), no pointer. */
export type NativeArgument = number | bigint | string | Uint8Array | null;

/** A function of the C library with the number that it returns and, where that is negative, errno(3). */
export interface NativeFunction {
  /** Blocks this thread until the kernel has answered. */
  call(...args: readonly NativeArgument[]): NativeResult;
  /**
   * Waits in another thread. Bytes must stay as they are until then. A call that the kernel never answers holds the end of
   * this process.
   */
  wait(...args: readonly NativeArgument[]): Promise<NativeResult>;
}

export interface NativeResult {
  readonly value: number;
  /** 0 where the call did not fail. */
  readonly errno: number;
}

/** C libraries that a bundle has a binary for, the more frequent one first. */
const LIBRARIES = ['glibc', 'musl'] as const;

/** Where the bundle keeps the binary, seen from one of its chunks, and from its entry. */
const BESIDE = ['../native/', './native/'];

/** Arguments of calls that are waited for: the bytes among them must not be collected. */
const held = new Set<unknown>();

let loaded: { readonly koffi: typeof Koffi; readonly libc: Koffi.LibraryHandle } | undefined;

/**
 * Declares a function of the C library: C types by name, a pointer for bytes as `void *`. Nothing is loaded before its
 * first call, which throws `missing-capability` where this machine has no binary of koffi. Variadic functions of the
 * kernel's interface (ioctl, fcntl, syscall) are declared with what they are given: on Linux both are passed alike.
 */
export function nativeFunction(name: string, result: 'int' | 'long', parameters: readonly string[]): NativeFunction {
  let made: Koffi.KoffiFunc<(...args: NativeArgument[]) => number> | undefined;
  const get = () => (made ??= load().libc.func(name, result, [...parameters]) as typeof made & {});
  return {
    call(...args) {
      const callee = get();
      const value = callee(...args);
      return { value, errno: value < 0 ? load().koffi.errno() : 0 };
    },
    wait(...args) {
      const callee = get();
      held.add(args);
      return new Promise((resolve, reject) => {
        callee.async(...args, (error: unknown, value: number) => {
          // koffi sets it to what the thread had, for the time of this function.
          const errno = value < 0 ? load().koffi.errno() : 0;
          held.delete(args);
          if (error) reject(error instanceof Error ? error : new Error(messageOf(error)));
          else resolve({ value, errno });
        });
      });
    },
  };
}

/** Where bytes lie, for structures of C that point to others. Valid for as long as the caller holds the bytes. */
export function addressOf(bytes: Buffer): bigint {
  return load().koffi.address(bytes);
}

/** Why this program cannot make system calls here, and what to do about it; `undefined` where it can. */
export function missingForSystemCalls(): { readonly reason: string; readonly mend: string | undefined } | undefined {
  try {
    load();
    return undefined;
  } catch (error) {
    if (!isStkError(error, 'missing-capability')) throw error;
    return { reason: error.message, mend: error.hint };
  }
}

function load(): NonNullable<typeof loaded> {
  if (loaded) return loaded;
  const koffi = loadKoffi();
  // The program itself: Node is linked with the C library, whatever file that is.
  loaded = { koffi, libc: koffi.load(null) };
  return loaded;
}

/** The bundle's own binary, loaded as it is in a tenth of the time that koffi's search takes; else the installed package. */
function loadKoffi(): typeof Koffi {
  const failures: unknown[] = [];
  for (const file of ownBinaries()) {
    try {
      const module: { exports: unknown } = { exports: {} };
      process.dlopen(module, file);
      return module.exports as typeof Koffi;
    } catch (error) {
      failures.push(error);
    }
  }
  try {
    return createRequire(import.meta.url)('koffi') as typeof Koffi;
  } catch (error) {
    failures.push(error);
  }
  const where = `${process.platform}-${process.arch}`;
  throw new StkError('missing-capability', `stk calls the kernel through koffi, which cannot be loaded (${where})`, {
    cause: failures[0],
    hint: `${firstLine(failures[0])}; install stk with npm where a C++ compiler and cmake are, on a filesystem that is not mounted noexec`,
    facts: { platform: where },
  });
}

function ownBinaries(): readonly string[] {
  const names = LIBRARIES.map(library => `koffi-${process.platform}-${process.arch}-${library}.node`);
  const files = BESIDE.flatMap(place => names.map(name => fileURLToPath(new URL(place + name, import.meta.url))));
  return files.filter(file => existsSync(file));
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] ?? '';
}
