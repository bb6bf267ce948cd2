import { StkError } from '../core/errors.ts';
import { installHint } from '../host/find-tool.ts';
import type { Privileges } from '../host/privileges.ts';

export type VerifyMode = 'auto' | 'require' | 'off';
export type Engine = 'auto' | 'kernel' | 'fuse';

/** What this host can do. A text says what is missing; `undefined` means that nothing is. */
export interface HostAbilities {
  readonly privileges: Privileges;
  readonly missingForLoop: string | undefined;
  readonly missingForDmVerity: string | undefined;
  readonly missingForUserVerity: string | undefined;
  readonly fuseDevice: boolean;
  /** Of squashfuse_ll, fuse-overlayfs and fusermount3, those that are not installed. */
  readonly missingTools: readonly string[];
}

export interface Wish {
  readonly engine: Engine;
  readonly verify: VerifyMode;
  /** From the bottom up. */
  readonly layers: readonly { readonly verityRoot: string | undefined; readonly packedByStk: boolean }[];
}

/** How an image is mounted. */
export interface Method {
  /** Layers: kernel squashfs on loop devices, or squashfuse_ll. */
  readonly layers: 'kernel' | 'fuse';
  readonly overlay: 'kernel' | 'fuse';
  /** What checks blocks of layers that have a root hash while they are read. */
  readonly verity: 'dm' | 'user' | 'none';
  /** One line for whoever asked: what was chosen and why. */
  readonly reason: string;
  readonly warnings: readonly string[];
}

const CHECKED_BY = {
  dm: 'blocks checked by dm-verity',
  user: 'blocks checked by stk',
  none: 'blocks not checked',
} as const;

/** It hands on what a read got before the error, which the kernel takes for the end of the file. */
const SHORT_FILES =
  'fuse-overlayfs may show a file as ending before a wrong block, without an error; in a user namespace reads fail';

/**
 * Chooses by what the host can do and what is known of the layers. Without a wish, root gets kernel mounts where every
 * layer has a verity root or was packed by stk, and FUSE otherwise: the kernel's squashfs was not written to withstand
 * images made with ill intent. Throws `missing-capability` with the line that mends it, `integrity` where `require` finds
 * a layer without a root hash.
 */
export function chooseMethod(host: HostAbilities, wish: Wish): Method {
  const base = chooseEngine(host, wish);
  const { verity, warnings } = chooseVerity(host, wish, base);
  return { ...base, verity, reason: `${base.reason}, ${CHECKED_BY[verity]}`, warnings };
}

function chooseEngine(host: HostAbilities, wish: Wish): Pick<Method, 'layers' | 'overlay' | 'reason'> {
  const notKernel = whyNoKernelSquashfs(host);
  if (wish.engine === 'kernel' && notKernel !== undefined) {
    throw new StkError('missing-capability', `layers cannot be mounted by the kernel: ${notKernel}`, {
      hint: 'leave --kernel out: FUSE works without privileges',
    });
  }
  const known = wish.layers.every(layer => layer.verityRoot !== undefined || layer.packedByStk);
  if (wish.engine === 'kernel' || (wish.engine === 'auto' && notKernel === undefined && known)) {
    const why = wish.engine === 'kernel' ? 'as asked' : 'root, and every layer is known';
    return { layers: 'kernel', overlay: 'kernel', reason: `kernel squashfs and overlay (${why})` };
  }
  const why =
    wish.engine === 'fuse'
      ? 'as asked'
      : (notKernel ?? 'a layer has neither a verity root nor the mark of stk; --kernel overrides');
  const overlay = host.privileges.canMount ? 'kernel' : 'fuse';
  assertFuse(host, overlay, notKernel === undefined);
  const what = overlay === 'kernel' ? 'squashfuse_ll and kernel overlay' : 'squashfuse_ll and fuse-overlayfs';
  return { layers: 'fuse', overlay, reason: `${what} (${why})` };
}

function whyNoKernelSquashfs(host: HostAbilities): string | undefined {
  const { privileges } = host;
  if (!privileges.initialUserNamespace) return 'the kernel mounts no squashfs in a user namespace';
  if (privileges.uid !== 0) return 'the kernel mounts squashfs for root only';
  if (!privileges.canMount) return 'this process lacks CAP_SYS_ADMIN';
  return host.missingForLoop;
}

function assertFuse(host: HostAbilities, overlay: Method['overlay'], kernelWorks: boolean): void {
  const wanted = overlay === 'kernel' ? ['squashfuse_ll'] : ['squashfuse_ll', 'fuse-overlayfs', 'fusermount3'];
  const missing = wanted.filter(tool => host.missingTools.includes(tool));
  const otherwise = kernelWorks ? ', or mount with --kernel if you trust the image' : '';
  if (missing.length > 0) {
    throw new StkError('missing-capability', `mounting with FUSE needs ${missing.join(' and ')}`, {
      hint: `${missing.map(installHint).join(' && ')}${otherwise}`,
      facts: { missing },
    });
  }
  if (!host.fuseDevice) {
    throw new StkError('missing-capability', '/dev/fuse cannot be opened for reading and writing', {
      hint: `sudo modprobe fuse; sudo chmod 0666 /dev/fuse${otherwise}`,
    });
  }
}

function chooseVerity(
  host: HostAbilities,
  wish: Wish,
  { layers: engine, overlay }: Pick<Method, 'layers' | 'overlay'>,
): Pick<Method, 'verity' | 'warnings'> {
  if (wish.verify === 'off') return { verity: 'none', warnings: [] };
  const without = wish.layers.filter(layer => layer.verityRoot === undefined).length;
  if (wish.verify === 'require' && without > 0) {
    throw new StkError('integrity', `${without} of ${wish.layers.length} layers have no verity root hash`, {
      hint: 'build the image with verity, or mount it with --verify auto',
    });
  }
  if (without === wish.layers.length) return { verity: 'none', warnings: [] };
  const warnings =
    without > 0 ? [`${without} of ${wish.layers.length} layers have no verity root and go unchecked`] : [];
  if (engine === 'kernel' && host.missingForDmVerity === undefined) return { verity: 'dm', warnings };
  if (host.missingForUserVerity === undefined) {
    const short = overlay === 'fuse' && wish.verify === 'require' ? [SHORT_FILES] : [];
    return { verity: 'user', warnings: [...warnings, ...short] };
  }
  const reasons = [...(engine === 'kernel' ? [host.missingForDmVerity] : []), host.missingForUserVerity].join('; ');
  if (wish.verify === 'require') {
    throw new StkError('missing-capability', `layers cannot be checked while they are read: ${reasons}`, {
      hint: 'check the whole image once with `stk verify`, then mount it with --verify auto or off',
    });
  }
  return { verity: 'none', warnings: [`layers are not checked while they are read: ${reasons}`] };
}
