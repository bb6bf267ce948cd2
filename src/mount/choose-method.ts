import { StkError } from '../core/errors.ts';
import { installHint } from '../host/find-tool.ts';
import type { Privileges } from '../host/privileges.ts';

/** `once` is for mounts that end with this process: each file is compared with its digest before it is mounted. */
export type VerifyMode = 'auto' | 'require' | 'off' | 'once';
export type Engine = 'auto' | 'kernel' | 'fuse';

/** What this host can do. A text says what is missing; `undefined` means that nothing is. */
export interface HostAbilities {
  readonly privileges: Privileges;
  readonly missingForLoop: string | undefined;
  readonly missingForDmVerity: string | undefined;
  readonly missingForUserVerity: string | undefined;
  readonly missingForFuse: string | undefined;
  /** Of squashfuse_ll, fuse-overlayfs and fusermount3, those that are not installed. */
  readonly missingTools: readonly string[];
}

/** Why a layer's bytes are known to be harmless: not by anything that the image says of itself. */
export type Known = 'packed-here' | 'signed';

export interface LayerFacts {
  /** What its blocks can be checked against; of a known layer, from where it is known. */
  readonly verityRoot: string | undefined;
  readonly known: Known | undefined;
  /** Who besides root could change its file, in words; looked at where the layer is known. */
  readonly otherWriter: string | undefined;
  /** Its bytes are not here: only stk's own server has them, checked. */
  readonly isFar?: boolean;
}

export interface Wish {
  readonly engine: Engine;
  readonly verify: VerifyMode;
  /** The caller's configuration says that the image is trusted, as `--kernel` does. */
  readonly trusted: boolean;
  /** From the bottom up. */
  readonly layers: readonly LayerFacts[];
}

/** How an image is mounted. */
export interface Method {
  /** Layers: kernel squashfs on loop devices, or squashfuse_ll. */
  readonly layers: 'kernel' | 'fuse';
  readonly overlay: 'kernel' | 'fuse';
  /** What checks blocks of layers that have a root hash while they are read. */
  readonly verity: 'dm' | 'user' | 'none';
  /** Whether a file that is not checked while it is read is compared with its digest before it is mounted. */
  readonly compares: boolean;
  /** One line for whoever asked: what was chosen and why. */
  readonly reason: string;
  readonly warnings: readonly string[];
}

const FAR_NEEDS_SERVER = 'layers that are not on this machine need stk to serve them';

const CHECKED_BY = {
  dm: 'blocks checked by dm-verity',
  user: 'blocks checked by stk',
  none: 'blocks not checked',
} as const;

/** It hands on what a read got before the error, which the kernel takes for the end of the file. */
const SHORT_FILES =
  'fuse-overlayfs may show a file as ending before a wrong block, without an error; in a user namespace reads fail';

/**
 * Chooses by what the host can do and what is known of the layers: the one rule of trust. The kernel's squashfs was not
 * written to withstand images made with ill intent. So without a wish root gets it only where every layer is known, and
 * where nobody can put other bytes in its place: each block is checked when it is read, or only root can change the file,
 * which is compared with its digest first. Everything else is mounted with FUSE.
 *
 * Layers that are not on this machine are always served, and checked, by stk.
 *
 * Throws `missing-capability` with the line that mends it, `integrity` where `require` finds a layer without a root hash.
 */
export function chooseMethod(host: HostAbilities, wish: Wish): Method {
  const base = chooseEngine(host, wish);
  const { verity, warnings } = chooseVerity(host, wish, base);
  const trusts = wish.engine === 'kernel' || wish.trusted;
  const compares = wish.verify !== 'off' || (base.layers === 'kernel' && !trusts);
  const checked = verity === 'none' && compares ? 'files compared with their digests' : CHECKED_BY[verity];
  return { ...base, verity, compares, reason: `${base.reason}, ${checked}`, warnings };
}

/** Whether each block of a layer is checked when it is read. */
export function isBlockChecked(method: Pick<Method, 'verity'>, layer: Pick<LayerFacts, 'verityRoot'>): boolean {
  return method.verity !== 'none' && layer.verityRoot !== undefined;
}

function chooseEngine(host: HostAbilities, wish: Wish): Pick<Method, 'layers' | 'overlay' | 'reason'> {
  const notKernel = whyNoKernelSquashfs(host);
  if (wish.engine === 'kernel' && notKernel !== undefined) {
    throw new StkError('missing-capability', `layers cannot be mounted by the kernel: ${notKernel}`, {
      hint: 'leave --kernel out: FUSE works without privileges',
    });
  }
  const doubt = notKernel ?? (wish.trusted ? undefined : findDoubt(host, wish));
  if (wish.engine === 'kernel' || (wish.engine === 'auto' && doubt === undefined)) {
    return { layers: 'kernel', overlay: 'kernel', reason: `kernel squashfs and overlay (${whyKernel(wish)})` };
  }
  const why = wish.engine === 'fuse' ? 'as asked' : doubt;
  const overlay = host.privileges.canMount ? 'kernel' : 'fuse';
  assertFuse(host, overlay, notKernel === undefined);
  const what = overlay === 'kernel' ? 'squashfuse_ll and kernel overlay' : 'squashfuse_ll and fuse-overlayfs';
  return { layers: 'fuse', overlay, reason: `${what} (${why})` };
}

function whyKernel({ engine, trusted, layers }: Wish): string {
  if (engine === 'kernel') return 'as asked';
  if (trusted) return 'the configuration trusts the image';
  const signed = layers.filter(({ known }) => known === 'signed').length;
  if (signed === 0) return 'root, and every layer was packed here';
  return signed === layers.length
    ? 'root, and every layer is signed'
    : 'root, and every layer is signed or was packed here';
}

/** Why the kernel is not to read these layers without being asked; `undefined` where it may. */
function findDoubt(host: HostAbilities, { layers, verify }: Wish): string | undefined {
  const unknown = layers.filter(({ known }) => known === undefined).length;
  if (unknown > 0) {
    const were = unknown === 1 ? 'was' : 'were';
    const which = layers.length === 1 ? 'the layer was' : `${unknown} of ${layers.length} layers ${were}`;
    return `${which} not packed here; --kernel overrides`;
  }
  const isChecked = (verify === 'auto' || verify === 'require') && kernelVerity(host, layers) !== undefined;
  const changeable = layers.find(layer => layer.otherWriter !== undefined && !(isChecked && layer.verityRoot));
  if (changeable === undefined) return undefined;
  return `${changeable.otherWriter}, and could change it unseen; --kernel overrides`;
}

/** What can check blocks on their way to the kernel. */
function kernelVerity(host: HostAbilities, layers: Wish['layers']): 'dm' | 'user' | undefined {
  if (host.missingForDmVerity === undefined && !layers.some(layer => layer.isFar)) return 'dm';
  return host.missingForUserVerity === undefined ? 'user' : undefined;
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
  if (host.missingForFuse !== undefined) {
    throw new StkError('missing-capability', host.missingForFuse, {
      hint: `sudo modprobe fuse; sudo chmod 0666 /dev/fuse${otherwise}`,
    });
  }
}

function unchecked(without: number, { layers }: Wish): string {
  return `${without} of ${layers.length} layers have no verity root: they are compared with their digests once, not while they are read`;
}

function chooseVerity(
  host: HostAbilities,
  wish: Wish,
  { layers: engine, overlay }: Pick<Method, 'layers' | 'overlay'>,
): Pick<Method, 'verity' | 'warnings'> {
  const isFar = wish.layers.some(layer => layer.isFar);
  if (!isFar && (wish.verify === 'off' || wish.verify === 'once')) return { verity: 'none', warnings: [] };
  if (isFar && host.missingForUserVerity !== undefined) {
    throw new StkError('missing-capability', `${FAR_NEEDS_SERVER}: ${host.missingForUserVerity}`, {
      hint: 'bring the image here first: stk publish REF oci:DIR:TAG',
    });
  }
  const without = wish.layers.filter(layer => layer.verityRoot === undefined).length;
  if (wish.verify === 'require' && without > 0) {
    throw new StkError('integrity', `${without} of ${wish.layers.length} layers have no verity root hash`, {
      hint: 'build the image with verity, or mount it with --verify auto',
    });
  }
  if (without === wish.layers.length) return { verity: 'none', warnings: [] };
  const warnings = without > 0 ? [unchecked(without, wish)] : [];
  const verity = engine === 'kernel' ? kernelVerity(host, wish.layers) : undefined;
  if (verity === 'dm') return { verity, warnings };
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
