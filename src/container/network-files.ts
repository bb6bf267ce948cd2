import path from 'node:path';
import type { AsyncScope } from '../core/async-scope.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { lstat, readFile, rm, rmdir, utimes, writeFile } from '../host/files.ts';
import { isWithin } from '../mount/mount-target.ts';
import type { LowerView } from '../sandbox/lower-view.ts';
import type { StepMount } from '../sandbox/run-step.ts';

export interface NetworkFilesRequest {
  readonly network: 'host' | 'none';
  readonly hostname: string;
  readonly readOnly: boolean;
  /** These go first, by their targets as asked for … */
  readonly mounts: readonly { readonly target: string }[];
  /** … and as they lie in the container. */
  readonly placed: readonly StepMount[];
  /** The container's root. */
  readonly view: LowerView;
  /** Holds the files as long as the container runs. */
  readonly directory: AbsPath;
  /** Ends after the container. */
  readonly scope: AsyncScope;
}

/** Where `networkFiles` puts files, as long as no mount that was asked for is there. */
export function lentPlaces({ network, mounts }: Pick<NetworkFilesRequest, 'network' | 'mounts'>): readonly string[] {
  const places = ['/etc/hosts', ...(network === 'host' ? ['/etc/resolv.conf'] : [])];
  return places.filter(place => !mounts.some(({ target }) => target === place));
}

/**
 * Name resolution as on the host, from copies: the container may write to them. Where the image has no such file, one to
 * mount on is made, and taken away again at the end. A directory of the host's in the place of /etc stays as it is.
 */
export async function networkFiles(request: NetworkFilesRequest): Promise<StepMount[]> {
  const { view, directory } = request;
  const own = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';
  const files = [{ name: 'hosts', content: `${own}127.0.0.1\t${request.hostname}\n` }];
  if (request.network === 'host') {
    files.push({ name: 'resolv.conf', content: await readFile('/etc/resolv.conf', 'utf8').catch(() => '') });
  }
  const { path: parent, type } = await view.resolve('/etc');
  // A volume is the container's own, and its directory lies in the container's.
  const isOfHost = (mount: StepMount) => mount.type === 'bind' && !isWithin(mount.source, directory);
  const covers = (mount: StepMount) => isOfHost(mount) && isWithin(`/${parent}`, mount.target);
  if (request.placed.some(covers)) return [];
  const mounts: StepMount[] = [];
  for (const { name, content } of type === 'directory' ? files : []) {
    if (request.mounts.some(({ target }) => target === `/etc/${name}`)) continue;
    const place = path.posix.join(parent, name);
    if (request.placed.some(({ target }) => target === `/${place}`)) continue;
    if (!(await isMountable(request, parent, place))) continue;
    const source = joinInside(directory, name);
    await writeFile(source, content);
    mounts.push({ type: 'bind', source, target: `/${place}`, readOnly: false, file: true });
  }
  return mounts;
}

async function isMountable(
  { view, readOnly, scope }: NetworkFilesRequest,
  parent: string,
  place: string,
): Promise<boolean> {
  const file = joinInside(view.root, place);
  const stat = await lstat(file).catch(() => undefined);
  if (stat || readOnly) return stat?.isFile() === true;
  const before = await lstat(path.dirname(file));
  await writeFile(file, '', { flag: 'wx' });
  scope.defer(async () => {
    // The container may have put a link of its own in the way.
    if (!(await view.isDirectory(parent))) return;
    await rm(file, { force: true });
    await utimes(path.dirname(file), before.atime, before.mtime);
  });
  return true;
}

/**
 * Call before the root is mounted; what is returned, after: where /etc came into a kept upper directory for nothing but
 * the files above, it goes again, so that a container which wrote nothing has written nothing.
 */
export async function forgetEmptyEtc(upper: AbsPath): Promise<() => Promise<void>> {
  const etc = joinInside(upper, 'etc');
  const before = await lstat(etc).catch(() => undefined);
  return async () => {
    if (before === undefined) await rmdir(etc).catch(() => {});
  };
}
