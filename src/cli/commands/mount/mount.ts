import { StkError } from '../../../core/errors.ts';
import { absPath, joinInside } from '../../../core/paths.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { mountImage, type Mounted, type MountRequest } from '../../../mount/mount-image.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import type { UpperWish } from '../../../mount/writable-upper.ts';
import type { VerifyMode } from '../../../mount/choose-method.ts';
import { formatImageName, type ImageName } from '../../../oci/image-name.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { imageReference, pinPlatform } from '../../../stores/find-image.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { imageName } from '../images/image-names.ts';
import { checkSignature, demandsSignature, type SignatureFlags } from '../signature/require-signature.ts';
import { isTrustedImage } from '../../trusted-images.ts';
import type { LazyFlags } from './lazy-options.ts';
import { lazyRequest } from './lazy-request.ts';
import { verifiedFilesOf } from './verified-files.ts';

export interface MountFlags extends SignatureFlags, LazyFlags, Pick<ImageFlags, 'platform' | 'tlsVerify'> {
  readonly rw?: boolean;
  readonly upper?: string;
  readonly readOnly?: boolean;
  readonly kernel?: boolean;
  readonly fuse?: boolean;
  readonly verify: VerifyMode;
}

/** `stk mount REF TARGET`. */
export async function runMount(session: Session, ref: string, target: string, flags: MountFlags): Promise<number> {
  const request = await mountRequest(session, ref, flags);
  const mounted = await mountImage({ ...request, target: absPath(target, session.workingDirectory) });
  const { record, isNew } = mounted;
  sayWarnings(session, { warnings: [...request.imageWarnings, ...mounted.warnings] });
  const name = request.imageName ?? request.tag;
  const text = isNew
    ? `mounted ${name} on ${record.target}: ${describeMount(mounted)}`
    : `${name} is mounted on ${record.target} already`;
  session.stdout.write(`${printableLine(text)}\n`);
  sayLogs(session, mounted);
  return 0;
}

/** What the flags of a mount ask for, signatures checked; the target is the caller's. */
export async function mountRequest(
  session: Session,
  ref: string,
  flags: MountFlags,
): Promise<Omit<MountRequest, 'target'> & { readonly imageWarnings: readonly string[] }> {
  const upper = upperWish(session, flags);
  const verify = verifyMode(flags);
  const wanted = imageName(ref, flags);
  const { image, isSigned, name } = await (wanted.kind === 'docker'
    ? lazyRequest(session, wanted, flags)
    : layoutRequest(session, wanted, flags));
  return {
    ...image,
    signed: isSigned,
    trusted: isTrustedImage(session.global.trustedImages, formatImageName(name)),
    home: await stateHome(session.environment, await readPrivileges()),
    platform: wanted.platform ?? hostPlatform(),
    engine: flags.kernel ? 'kernel' : flags.fuse ? 'fuse' : 'auto',
    verify,
    verifiedFiles: verifiedFilesOf(session),
    ...(upper ? { upper } : {}),
    signal: session.signal,
    onWait: () => session.stderr.write('waiting for another mount to end\n'),
  };
}

/** An image of a layout. */
async function layoutRequest(session: Session, wanted: ImageName, flags: MountFlags) {
  const opened = await session.stores.openLayout(wanted, 'images are mounted from a layout or a registry');
  const { store: layout, name } = opened;
  const reference = imageReference(opened);
  const checked = await checkSignature(session, { name, store: layout, reference }, flags);
  const pinned = await pinPlatform(opened, checked?.digest ?? reference, session.signal);
  const digest = pinned ?? checked?.digest ?? name.digest;
  const image = { layout, tag: name.tag ?? reference, digest, imageWarnings: [] };
  return { image, name, isSigned: (checked?.signatures.length ?? 0) > 0 };
}

/** Layers, access, and the reason for the way it was mounted. */
export function describeMount({ record, reason }: Mounted): string {
  const { farLayers = 0 } = record;
  const far = farLayers > 0 ? ` (${farLayers} fetched from the registry as they are read)` : '';
  const layers = `${record.layers.length} ${record.layers.length === 1 ? 'layer' : 'layers'}${far}`;
  return `${layers}, ${record.upper ? 'writable' : 'read-only'}, ${reason}`;
}

export function sayWarnings(session: Session, { warnings }: Pick<Mounted, 'warnings'>): void {
  if (session.global.progress === 'quiet') return;
  for (const warning of warnings) session.stderr.write(`warning: ${warning}\n`);
}

export function sayLogs(session: Session, { logs }: Mounted): void {
  if (session.global.progress === 'quiet') return;
  for (const log of logs) session.stdout.write(`reads that fail the check are logged in ${printableLine(log)}\n`);
}

/** A signature reaches every block only through root hashes: without them what is read need not be what was signed. */
function verifyMode(flags: MountFlags): VerifyMode {
  if (!demandsSignature(flags)) return flags.verify;
  if (flags.verify !== 'off') return 'require';
  throw new StkError('usage', '--verify off contradicts the demand for a signature', {
    hint: 'leave --verify out: blocks are then checked while they are read',
  });
}

function upperWish(session: Session, flags: MountFlags): UpperWish | undefined {
  if (flags.rw && flags.upper !== undefined) {
    throw new StkError('usage', '--rw and --upper exclude each other', {
      hint: '--rw forgets what is written when it is unmounted, --upper DIR keeps it',
    });
  }
  if (flags.readOnly && (flags.rw || flags.upper !== undefined)) {
    throw new StkError('usage', `--read-only and ${flags.rw ? '--rw' : '--upper'} exclude each other`);
  }
  if (flags.upper === '') throw new StkError('usage', '--upper is empty', { hint: 'name a directory' });
  if (flags.upper !== undefined) return { directory: absPath(flags.upper, session.workingDirectory) };
  return flags.rw ? { scratchBelow: joinInside(session.global.stkDir, 'mounts') } : undefined;
}
