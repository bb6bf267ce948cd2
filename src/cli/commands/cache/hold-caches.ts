import { stateDirectories } from '../../../builder/state-directories.ts';
import { DEFAULT_LIMITS, type CacheLimit } from '../../../caches/cache-limits.ts';
import { lockCaches, useCaches } from '../../../caches/lock-caches.ts';
import { openCaches, type CachePlaces } from '../../../caches/open-caches.ts';
import { pruneTogether } from '../../../caches/prune-caches.ts';
import { messageOf } from '../../../core/errors.ts';
import { joinInside } from '../../../core/paths.ts';
import { mkdir, stat, utimes, writeFile } from '../../../host/files.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { mountedDigests } from '../../../mount/mounted-digests.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { userCacheDirectory } from '../../../stores/user-cache.ts';
import type { Session } from '../../session.ts';
import { messageLines } from '../../message-lines.ts';

/** Least time between two times that commands prune the caches at their end. */
const PAUSE_MS = 3_600_000;

export async function cachePlaces({ global, environment }: Session): Promise<CachePlaces> {
  const user = await userCacheDirectory(environment);
  return {
    ...stateDirectories(global.stkDir),
    user,
    lazy: joinInside(user ?? global.stkDir, 'lazy'),
    mounted: async () => mountedDigests(await stateHome(environment, await readPrivileges())),
  };
}

/** What holds for a kind of cache; the size of the lazy one has a setting of its own. */
export function limitOf({ global }: Session, kind: string): CacheLimit {
  const usual = DEFAULT_LIMITS[kind] ?? {};
  return global.caches[kind] ?? (kind === 'lazy' ? { ...usual, maxBytes: global.lazy.cacheBytes } : usual);
}

/**
 * For a command that uses the caches and adds to them: nothing is pruned while it runs, and at its end they are brought below
 * their limits, if that was not done within the last hour and nobody else uses them.
 */
export async function holdCaches(session: Session): Promise<void> {
  const { stkDir } = session.global;
  const lock = await useCaches(stkDir, session.signal);
  session.scope.defer(async () => {
    await lock[Symbol.asyncDispose]();
    if (session.signal.aborted) return;
    try {
      await pruneSometimes(session);
    } catch (error) {
      const text = `the caches were not pruned: ${messageOf(error)}`;
      const event = { type: 'message', level: 'debug', text, at: Date.now() } as const;
      for (const line of messageLines(event, session.global)) session.stderr.write(`${line}\n`);
    }
  });
}

async function pruneSometimes(session: Session): Promise<void> {
  const { records } = stateDirectories(session.global.stkDir);
  const mark = joinInside(records, '.pruned');
  const nowMs = Date.now();
  const last = await stat(mark).catch(() => undefined);
  if (last && nowMs - last.mtimeMs < PAUSE_MS && last.mtimeMs <= nowMs) return;
  await using lock = await lockCaches(session.global.stkDir);
  if (!lock) return;
  await mkdir(records, { recursive: true });
  if (last) await utimes(mark, nowMs / 1000, nowMs / 1000);
  else await writeFile(mark, '');
  for (const cache of openCaches(await cachePlaces(session), true)) {
    await pruneTogether([cache], limitOf(session, cache.kind), { dryRun: false, nowMs, signal: session.signal });
  }
}
