import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Platform } from '../oci/descriptor.ts';
import { formatPlatform } from '../oci/platform.ts';

export interface BuiltInDirectories {
  readonly rootfsDir: AbsPath;
  readonly stkDir: AbsPath;
  readonly ociDir: AbsPath;
  readonly workDir: AbsPath;
}

/**
 * The values that every recipe can use without being given them: directories under stacker's names and stk's, and what is
 * built for.
 */
export function builtInSubstitutions(directories: BuiltInDirectories, platform: Platform): ReadonlyMap<string, string> {
  const { rootfsDir, stkDir, ociDir, workDir } = directories;
  const named = new Map(
    ['STACKER', 'STK'].flatMap(prefix => [
      [`${prefix}_ROOTFS_DIR`, rootfsDir] as const,
      [`${prefix}_STACKER_DIR`, stkDir] as const,
      [`${prefix}_STK_DIR`, stkDir] as const,
      [`${prefix}_OCI_DIR`, ociDir] as const,
      [`${prefix}_WORK_DIR`, workDir] as const,
    ]),
  );
  const { os, architecture, variant = '' } = platform;
  return new Map([
    ...named,
    ['STK_PLATFORM', formatPlatform(platform)],
    ['STK_OS', os],
    ['STK_ARCH', architecture],
    ['STK_VARIANT', variant],
  ]);
}

/** One `K=V` of the command line; the value may hold further equal signs. Throws `usage`. */
export function parseSubstitution(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(equals, 0));
  if (isSubstitutionName(name)) return [name, text.slice(equals + 1)];
  throw new StkError('usage', `invalid substitution ${text}`, {
    hint: 'write NAME=VALUE; a name holds no white space, colon, brace or equal sign',
  });
}

/** A name holds no white space, colon, brace, dollar or equal sign. */
export function isSubstitutionName(name: string): boolean {
  return /^[^\s:={}$]+$/.test(name);
}
