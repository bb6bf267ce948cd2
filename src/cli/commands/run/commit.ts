import { basename, dirname, join } from 'node:path';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError, errnoOf } from '../../../core/errors.ts';
import { absPath, type AbsPath } from '../../../core/paths.ts';
import { parseChange } from '../../../container/commit-changes.ts';
import { commitImage, type CommitRequest } from '../../../container/commit-image.ts';
import { containersHome, hasContainer, openContainer } from '../../../container/container-record.ts';
import { tryLockFile } from '../../../host/file-lock.ts';
import { lstat, realpath } from '../../../host/files.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { defaultPackOptions, parseCompression } from '../../../layer/pack-options.ts';
import { readBase } from '../../../mount/upper-base.ts';
import { findUpperUser } from '../../../mount/upper-users.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { imageReference, pinPlatform } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { parseEpoch } from '../build/build-options.ts';
import { openSessionUi } from '../build/build.ts';
import { imageName } from '../images/image-names.ts';
import { commitTarget } from './commit-target.ts';

export interface CommitFlags {
  readonly message?: string;
  readonly author?: string;
  readonly change: readonly string[];
  readonly base?: string;
  readonly platform?: string;
  readonly compression?: string;
  readonly verity: boolean;
}

/** What is committed: a container of that name, else a directory. */
type Source = { readonly container: string } | { readonly upper: AbsPath };

/** `stk commit WHAT REF`. */
export async function runCommit(session: Session, what: string, ref: string, flags: CommitFlags): Promise<number> {
  const changes = flags.change.map(parseChange);
  const packing = flags.compression === undefined ? defaultPackOptions : parseCompression(flags.compression);
  const target = commitTarget(session, ref);
  const epochSeconds = parseEpoch(session.environment['SOURCE_DATE_EPOCH']);
  const source = await findSource(session, what);
  if (flags.platform !== undefined && flags.base === undefined) {
    throw new StkError('usage', '--platform chooses the base, which --base names');
  }
  if ('container' in source && flags.base !== undefined) {
    throw new StkError('usage', `--base is for upper directories: container ${source.container} knows its image`);
  }
  await using scope = new AsyncScope();
  // From outside, where the processes of every namespace can be seen; the lock outlives the inner process.
  if ('upper' in source && !session.inside) scope.use(await holdAtRest(session, source.upper));
  const privileges = await readPrivileges();
  if (privileges.uid !== 0 && !session.inside) return await session.enter();
  const rootless = !privileges.initialUserNamespace;
  const { upper, base } = await openSource(session, source, { ...flags, rootless }, scope);
  await using ui = openSessionUi(session);
  const { image, layer } = await commitImage({
    upper,
    base,
    target: { layout: await LayoutStore.create(target.directory), tag: target.tag },
    platform: hostPlatform(),
    packing: { ...packing, verity: flags.verity },
    changes,
    message: flags.message,
    author: flags.author,
    epochSeconds,
    emit: ui.emit,
    signal: session.signal,
  });
  await ui.close();
  if (!layer && session.global.progress !== 'quiet') {
    session.stderr.write(`nothing was written: ${target.tag} has the layers of its base\n`);
  }
  session.stdout.write(`${target.tag} ${image.digest}\n`);
  return 0;
}

async function findSource(session: Session, what: string): Promise<Source> {
  const home = containersHome(session.global.stkDir);
  const isName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(what);
  if (isName && (await hasContainer(home, what))) return { container: what };
  const path = absPath(what, session.workingDirectory);
  const stat = what === '' ? undefined : await lstat(path).catch(ignoreAbsence);
  if (stat?.isDirectory()) {
    const upper = await upperDirectory(path);
    const container = await containerOf(home, upper);
    return container === undefined ? { upper } : { container };
  }
  if (!stat) {
    throw new StkError(
      'not-found',
      `there is no container ${isName ? `named ${what}, and no` : 'or'} directory ${path}`,
      {
        hint: 'see `stk containers`; or name the directory that stk mount --upper was given',
        facts: { path },
      },
    );
  }
  throw new StkError('invalid-input', `${path} is no directory`, {
    hint: 'name the directory itself that stk mount --upper was given',
    facts: { path },
  });
}

/** The container whose upper directory this is: its lock alone says whether it runs. */
async function containerOf(home: AbsPath, upper: AbsPath): Promise<string | undefined> {
  const real = await realpath(home).catch(ignoreAbsence);
  const name = basename(dirname(upper));
  return real !== undefined && upper === join(real, name, 'upper') ? name : undefined;
}

async function upperDirectory(path: AbsPath): Promise<AbsPath> {
  const upper = (await realpath(path)) as AbsPath;
  if (upper !== '/') return upper;
  throw new StkError('usage', 'the root of this host is no upper directory', {
    hint: 'name the directory that stk mount --upper was given',
  });
}

/**
 * Makes sure that nobody writes into an upper directory and keeps mounts away. A layer is the state of one moment, and
 * overlayfs leaves open what an upper holds while it is mounted.
 */
async function holdAtRest(session: Session, upper: AbsPath): Promise<AsyncDisposable> {
  const lock = await tryLockFile(upper, 'shared');
  if (!lock) throw new StkError('conflict', `${upper} is in use`, { hint: 'wait until it is free' });
  try {
    const home = await stateHome(session.environment, await readPrivileges());
    const user = await findUpperUser(home, upper);
    if (!user) return lock;
    const { target } = user.record;
    const gone = user.isSeen ? '' : `. If its mount namespace is gone, remove ${user.state}`;
    throw new StkError('conflict', `${upper} is in use: it is the upper directory of the mount on ${target}`, {
      hint: `stk umount ${target}; the directory keeps what was written, and remembers its image${gone}`,
      facts: { path: upper, target },
    });
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

async function openSource(
  session: Session,
  source: Source,
  { rootless, base, platform }: { readonly rootless: boolean } & Pick<CommitFlags, 'base' | 'platform'>,
  scope: AsyncScope,
): Promise<Pick<CommitRequest, 'upper' | 'base'>> {
  if ('container' in source) {
    const home = containersHome(session.global.stkDir);
    const { signal } = session;
    const container = scope.use(await openContainer(home, source.container, { mode: 'shared', rootless, signal }));
    const { layout, tag, digest } = container.record;
    return { upper: container.upper, base: { layout: await LayoutStore.open(layout), tag, digest } };
  }
  if (base !== undefined) {
    const opened = await session.stores.openLayout(
      imageName(base, { platform }),
      'what is committed lies on an image of a layout',
    );
    const reference = imageReference(opened);
    const digest = (await pinPlatform(opened, reference, session.signal)) ?? opened.name.digest;
    return {
      upper: source.upper,
      base: { layout: opened.store, tag: opened.name.tag ?? reference, digest },
    };
  }
  const known = readBase(source.upper);
  if (!known) {
    throw new StkError('usage', `nothing says which image ${source.upper} was written on`, {
      hint: 'name it: --base REF',
      facts: { path: source.upper },
    });
  }
  const { layout, tag, digest } = known;
  return { upper: source.upper, base: { layout: await LayoutStore.open(layout), tag, digest } };
}

function ignoreAbsence(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
  throw error;
}
