import type { CacheLimit } from '../../../caches/cache-limits.ts';
import { lockCaches } from '../../../caches/lock-caches.ts';
import { openCaches } from '../../../caches/open-caches.ts';
import { listEntries, pruneTogether, verifyEntries, type PrunedEntry } from '../../../caches/prune-caches.ts';
import type { KeptEntry } from '../../../caches/choose-entries.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { Cache } from '../../../core/cache.ts';
import { StkError } from '../../../core/errors.ts';
import { parseDuration, parseSize } from '../../../core/quantities.ts';
import { readdir } from '../../../host/files.ts';
import { EXIT } from '../../exit-status.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { formatTable } from '../../ui/table.ts';
import { cachePlaces, limitOf } from './hold-caches.ts';

export interface CacheFlags {
  readonly kind: readonly string[];
  readonly entries?: boolean;
  readonly json?: boolean;
}

export interface PruneFlags extends CacheFlags {
  readonly olderThan?: string;
  readonly maxSize?: string;
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

/** `stk cache ls`. */
export async function runCacheLs(session: Session, flags: CacheFlags): Promise<number> {
  if (await needsNamespaces(session)) return session.enter();
  await using opened = await open(session, flags);
  const entries = await listEntries(opened.caches, session.signal);
  if (flags.entries) {
    listEach(session, entries, flags);
    return 0;
  }
  const rows = opened.caches.map(({ kind, description }) => {
    const own = entries.filter(({ cache }) => cache.kind === kind).map(({ entry }) => entry);
    const { maxBytes, maxAgeMs } = limitOf(session, kind);
    const oldest = own.reduce<Date | undefined>((a, { lastUsed: b }) => (a && a < b ? a : b), undefined);
    const sizeBytes = own.reduce((sum, entry) => sum + entry.sizeBytes, 0);
    return { kind, description, entries: own.length, sizeBytes, oldest, maxBytes, maxAgeMs };
  });
  const sizeBytes = rows.reduce((sum, row) => sum + row.sizeBytes, 0);
  if (flags.json) {
    const caches = rows.map(({ oldest, maxBytes, maxAgeMs, ...row }) => {
      return { ...row, oldest: oldest?.toISOString() ?? null, maxBytes: maxBytes ?? null, maxAgeMs: maxAgeMs ?? null };
    });
    session.stdout.write(`${jsonText({ caches, sizeBytes })}\n`);
    return 0;
  }
  const columns = ['CACHE', 'ENTRIES', 'SIZE', 'MOST', 'OLDEST', 'KEPT FOR', ''].map(heading => ({ heading }));
  const lines = formatTable(
    columns,
    rows.map(({ kind, description, entries: count, oldest, maxBytes, maxAgeMs, ...row }) => [
      kind,
      String(count),
      formatBytes(row.sizeBytes),
      maxBytes === undefined ? '-' : formatBytes(maxBytes),
      oldest?.toISOString().slice(0, 10) ?? '-',
      maxAgeMs === undefined ? '-' : `${Math.round(maxAgeMs / 86_400_000)} days`,
      description,
    ]),
  );
  session.stdout.write(`${lines.join('\n')}\n${formatBytes(sizeBytes)} in all\n`);
  return 0;
}

function listEach(session: Session, entries: readonly KeptEntry[], flags: CacheFlags): void {
  const sorted = entries.toSorted((a, b) => a.entry.lastUsed.getTime() - b.entry.lastUsed.getTime());
  if (flags.json) {
    session.stdout.write(`${jsonText({ entries: sorted.map(asJson) })}\n`);
    return;
  }
  for (const { cache, entry } of sorted) {
    const when = entry.lastUsed.toISOString().slice(0, 16);
    const use = entry.inUse ? ' in use' : '';
    session.stdout.write(`${when} ${formatBytes(entry.sizeBytes).padStart(8)} ${cache.kind} ${entry.key}${use}\n`);
  }
}

/** `stk cache prune`. */
export async function runCachePrune(session: Session, flags: PruneFlags): Promise<number> {
  const given = givenLimit(flags);
  if (await needsNamespaces(session)) return session.enter();
  await using opened = await open(session, flags);
  const options = { dryRun: flags.dryRun === true, nowMs: Date.now(), signal: session.signal };
  const pruned: PrunedEntry[] = [];
  if (given) pruned.push(...(await pruneTogether(opened.caches, given, options)));
  else {
    for (const cache of opened.caches) {
      pruned.push(...(await pruneTogether([cache], limitOf(session, cache.kind), options)));
    }
  }
  const gone = options.dryRun ? pruned : pruned.filter(({ removed }) => removed);
  const sizeBytes = gone.reduce((sum, { entry }) => sum + entry.sizeBytes, 0);
  if (flags.json) {
    session.stdout.write(`${jsonText({ removed: gone.map(asJson), sizeBytes, dryRun: options.dryRun })}\n`);
    return 0;
  }
  if (!opened.isFree && given) session.stderr.write('a running command uses the caches: its own are left alone\n');
  for (const { cache } of gone.filter((one, index) => gone.findIndex(other => other.cache === one.cache) === index)) {
    const own = gone.filter(each => each.cache === cache).map(({ entry }) => entry.sizeBytes);
    session.stdout.write(`${cache.kind}: ${own.length} entries, ${formatBytes(own.reduce((a, b) => a + b, 0))}\n`);
  }
  const verb = options.dryRun ? 'would remove' : 'removed';
  session.stdout.write(`${verb} ${gone.length} entries, ${formatBytes(sizeBytes)}\n`);
  return 0;
}

/** `stk cache verify`. */
export async function runCacheVerify(
  session: Session,
  flags: CacheFlags & { readonly dryRun?: boolean },
): Promise<number> {
  if (await needsNamespaces(session)) return session.enter();
  await using opened = await open(session, flags);
  const damaged: (KeptEntry & { readonly removed: boolean })[] = [];
  const counts = { right: 0, damaged: 0, unknown: 0 };
  for await (const { verdict, ...each } of verifyEntries(opened.caches, session.signal)) {
    counts[verdict]++;
    if (verdict !== 'damaged') continue;
    const removed = flags.dryRun !== true && (await each.cache.remove(each.entry.key));
    damaged.push({ ...each, removed });
    if (!flags.json) {
      session.stdout.write(`${each.cache.kind} ${each.entry.key} damaged${removed ? ', removed' : ''}\n`);
    }
  }
  if (flags.json) {
    const list = damaged.map(each => ({ ...asJson(each), removed: each.removed }));
    session.stdout.write(`${jsonText({ right: counts.right, unknown: counts.unknown, damaged: list })}\n`);
  } else
    session.stdout.write(`${counts.right} right, ${counts.damaged} damaged, ${counts.unknown} cannot be compared\n`);
  return damaged.length === 0 ? 0 : EXIT.integrity;
}

interface Opened extends AsyncDisposable {
  readonly caches: readonly Cache[];
  readonly isFree: boolean;
}

async function open(session: Session, { kind }: CacheFlags): Promise<Opened> {
  const lock = await lockCaches(session.global.stkDir);
  const isFree = lock !== undefined;
  const caches = openCaches(await cachePlaces(session), isFree);
  return {
    caches: kind.length === 0 ? caches : caches.filter(cache => kind.includes(cache.kind)),
    isFree,
    async [Symbol.asyncDispose]() {
      await lock?.[Symbol.asyncDispose]();
    },
  };
}

/** Steps leave files of many owners in their cache directories. */
async function needsNamespaces(session: Session): Promise<boolean> {
  if (session.inside || process.getuid?.() === 0) return false;
  const { cacheDirs } = await cachePlaces(session);
  return (await readdir(cacheDirs).catch(() => [])).length > 0;
}

function givenLimit({ all, olderThan, maxSize }: PruneFlags): CacheLimit | undefined {
  if (all && (olderThan !== undefined || maxSize !== undefined)) {
    throw new StkError('usage', '--all leaves nothing for --older-than and --max-size to choose');
  }
  if (all) return { maxAgeMs: Number.NEGATIVE_INFINITY };
  if (olderThan === undefined && maxSize === undefined) return undefined;
  const maxAgeMs = olderThan === undefined ? undefined : parseDuration(olderThan);
  const maxBytes = maxSize === undefined ? undefined : parseSize(maxSize);
  if (olderThan !== undefined && maxAgeMs === undefined) throw notUnderstood('--older-than', olderThan, '12h or 7d');
  if (maxSize !== undefined && maxBytes === undefined) throw notUnderstood('--max-size', maxSize, '500MB or 5GB');
  return { ...(maxAgeMs === undefined ? {} : { maxAgeMs }), ...(maxBytes === undefined ? {} : { maxBytes }) };
}

function notUnderstood(option: string, text: string, examples: string): StkError {
  return new StkError('usage', `${option}: ${JSON.stringify(text.slice(0, 100))} is not understood`, {
    hint: `write it as ${examples}`,
  });
}

function asJson({ cache, entry: { key, sizeBytes, lastUsed, inUse } }: KeptEntry) {
  return { kind: cache.kind, key, sizeBytes, lastUsed: lastUsed.toISOString(), inUse };
}
