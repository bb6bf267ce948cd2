import { stateDirectories } from '../../../builder/state-directories.ts';
import { DEFAULT_LIMITS } from '../../../caches/cache-limits.ts';
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
  return {
    ...stateDirectories(global.stkDir),
    user: await userCacheDirectory(environment),
    mounted: async () => mountedDigests(await stateHome(environment, await readPrivileges())),
  };
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
  const limits = { ...DEFAULT_LIMITS, ...session.global.caches };
  for (const cache of openCaches(await cachePlaces(session), true)) {
    await pruneTogether([cache], limits[cache.kind] ?? {}, { dryRun: false, nowMs, signal: session.signal });
  }
}
