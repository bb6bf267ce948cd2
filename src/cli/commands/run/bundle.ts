import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import { bundleImage } from '../../../container/bundle-image.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { describeMount, mountRequest, sayLogs, sayWarnings, type MountFlags } from '../mount/mount.ts';
import { hostnameLike } from '../../../container/host-name.ts';

export interface BundleFlags extends MountFlags {
  readonly tty?: boolean;
  readonly user?: string;
  readonly hostname?: string;
}

export interface BundleWish {
  readonly ref: string;
  readonly directory: string;
  readonly command: readonly string[];
  readonly flags: BundleFlags;
}

/** `stk bundle REF DIR`. */
export async function runBundle(session: Session, { ref, directory, command, flags }: BundleWish): Promise<number> {
  const hostname = flags.hostname === undefined ? undefined : checkedHostname(flags.hostname);
  const request = await mountRequest(session, ref, flags);
  const { mounted, config, warnings, ...bundle } = await bundleImage({
    ...request,
    directory: absPath(directory, session.workingDirectory),
    command,
    user: flags.user,
    hostname: hostname ?? hostnameLike(request.imageName ?? request.tag, 'container'),
    terminal: flags.tty === true,
  });
  const kept = config === 'kept' ? [`${bundle.directory}/config.json was changed by hand and is kept`] : [];
  sayWarnings(session, { warnings: [...request.imageWarnings, ...mounted.warnings, ...warnings, ...kept] });
  const how = mounted.isNew ? describeMount(mounted) : 'mounted already';
  session.stdout.write(
    `${printableLine(`bundle of ${request.imageName ?? request.tag} in ${bundle.directory}: ${how}`)}\n`,
  );
  sayLogs(session, mounted);
  return 0;
}

/** hostname(7): up to 64 letters, digits, hyphens and dots. */
function checkedHostname(name: string): string {
  if (/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(name)) return name;
  throw new StkError('usage', `--hostname ${JSON.stringify(name.slice(0, 100))} is no host name`, {
    hint: 'up to 64 letters, digits, hyphens and dots',
  });
}
