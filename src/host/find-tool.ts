import path from 'node:path';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { access, constants } from './files.ts';
import { toolSearchPath } from './tool-path.ts';

/** Debian package that holds each tool that a Debian system may lack. */
const PACKAGES: Readonly<Record<string, string>> = {
  mksquashfs: 'squashfs-tools',
  unsquashfs: 'squashfs-tools',
  tar2sqfs: 'squashfs-tools-ng',
  sqfs2tar: 'squashfs-tools-ng',
  squashfuse_ll: 'squashfuse',
  'fuse-overlayfs': 'fuse-overlayfs',
  fusermount3: 'fuse3',
  bwrap: 'bubblewrap',
  perl: 'perl-base',
  newuidmap: 'uidmap',
  newgidmap: 'uidmap',
  veritysetup: 'cryptsetup-bin',
  zstd: 'zstd',
  pigz: 'pigz',
  gzip: 'gzip',
  xz: 'xz-utils',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  runc: 'runc',
  git: 'git',
  nsenter: 'util-linux',
};

/** Absolute path of a tool, or `undefined` where it is not installed. */
export async function findTool(name: string): Promise<AbsPath | undefined> {
  for (const directory of toolSearchPath()) {
    const candidate = path.join(directory, name);
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate as AbsPath;
  }
  return undefined;
}

/** The `missing-capability` error for an absent tool; its hint is the line that installs it. */
export function missingTool(name: string, cause?: unknown): StkError {
  const hint = `install it: ${installHint(name)}`;
  return new StkError('missing-capability', `${name} is not installed`, { hint, cause, facts: { tool: name } });
}

export function installHint(name: string): string {
  const debianPackage = PACKAGES[name] ?? (name.startsWith('qemu-') ? 'qemu-user-static' : undefined);
  return debianPackage === undefined ? `the tool ${name}` : `apt-get install -y ${debianPackage}`;
}
