import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestHex, digestOf, type Digest } from '../core/digest.ts';
import type { Cache } from '../core/cache.ts';
import type { AbsPath } from '../core/paths.ts';
import { lockFile } from '../host/file-lock.ts';
import { LayoutStore } from '../oci/layout.ts';
import { lockCaches, useCaches } from './lock-caches.ts';
import { openCaches } from './open-caches.ts';
import { listEntries, pruneTogether, verifyEntries } from './prune-caches.ts';

const DAY_MS = 86_400_000;
const SIGNAL = new AbortController().signal;
const options = { dryRun: false, nowMs: Date.now(), signal: SIGNAL };
const mounted = new Set<Digest>();
const hex = (text: string) => digestHex(digestOf(text));

let home: AbsPath;
beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-caches-'))) as AbsPath;
  mounted.clear();
});
afterEach(() => rm(home, { recursive: true }));

const at = (name: string) => path.join(home, name) as AbsPath;

async function put(name: string, text: string, ageDays = 0): Promise<void> {
  await mkdir(path.dirname(at(name)), { recursive: true });
  await writeFile(at(name), text);
  const when = new Date(Date.now() - ageDays * DAY_MS);
  await utimes(at(name), when, when);
}

function open(isFree = true): readonly Cache[] {
  const places = {
    home,
    records: at('cache'),
    imports: at('imports'),
    http: at('http'),
    cacheDirs: at('cache-dirs'),
    converted: at('converted'),
    fileDigests: at('file-digests.json'),
    user: at('user'),
    lazy: at('user/lazy'),
    mounted: async () => mounted,
  };
  return openCaches(places, isFree);
}

async function keys(caches = open()): Promise<readonly string[]> {
  return (await listEntries(caches, SIGNAL)).map(({ cache, entry }) => `${cache.kind} ${entry.key}`).toSorted();
}

async function prune(days: number, caches = open()): Promise<readonly string[]> {
  const pruned = await pruneTogether(caches, { maxAgeMs: days * DAY_MS }, options);
  return pruned
    .filter(({ removed }) => removed)
    .map(({ cache, entry }) => `${cache.kind} ${entry.key}`)
    .toSorted();
}

/** Something old in every cache. */
async function fill(): Promise<void> {
  await put(`cache/step/${hex('a')}.json`, '{}', 50);
  await put(`cache/built/${hex('b')}.json`, '{}', 50);
  await put(`http/${hex('body')}`, 'body', 50);
  await put(`imports/extracted/${hex('c')}/file`, 'x', 50);
  await utimes(at(`imports/extracted/${hex('c')}`), 0, 0);
  await LayoutStore.create(at('converted'));
  await put(`converted/blobs/sha256/${hex('layer')}`, 'layer', 50);
  await put(`cache-dirs/${hex('d').slice(0, 32)}/file`, 'x', 50);
  await utimes(at(`cache-dirs/${hex('d').slice(0, 32)}`), 0, 0);
  await put('file-digests.json', '[]', 50);
  await put(`user/blob-places/${hex('e').slice(0, 32)}.json`, '{}', 50);
}

describe('caches', () => {
  it('are empty where nothing is', async () => {
    expect([await keys(), await prune(0)]).toEqual([[], []]);
    expect(await readdir(home)).toEqual([]);
  });

  it('lose what is old, and keep what says what was made last', async () => {
    await fill();
    expect(await prune(60)).toHaveLength(2);
    expect((await prune(30)).map(key => key.split(' ')[0])).toEqual([
      'converted',
      'digests',
      'http',
      'places',
      'records',
    ]);
    expect(await keys()).toEqual([]);
    expect(await readdir(at('cache/built'))).toHaveLength(1);
    expect(await readdir(at('cache-dirs'))).toEqual([]);
  });

  it('keep everything that belongs to a command which runs', async () => {
    await fill();
    await using use = await useCaches(home, SIGNAL);
    expect(await lockCaches(home)).toBeUndefined();
    expect(await prune(0, open(false))).toEqual([`places ${hex('e').slice(0, 32)}.json`]);
    expect(await keys()).toHaveLength(6);
    await use[Symbol.asyncDispose]();
    await using mine = await lockCaches(home);
    expect(mine).toBeDefined();
  });

  it('keep a directory that a step has locked, and blobs that mounts or the index need', async () => {
    await fill();
    const name = `cache-dirs/${hex('d').slice(0, 32)}`;
    await using _lock = await lockFile(at(name), 'exclusive');
    mounted.add(digestOf('layer'));
    await prune(0);
    expect(await keys()).toEqual([`converted ${hex('layer')}`, `directories ${hex('d').slice(0, 32)}`]);
  });

  it('tell by the records when a blob was used', async () => {
    await fill();
    await put(`cache/http/${hex('url')}.json`, JSON.stringify({ digest: digestOf('body') }), 1);
    await put(`cache/convert/${hex('key')}.json`, JSON.stringify({ squashfs: { digest: digestOf('layer') } }), 1);
    expect((await prune(30)).filter(key => /^(http|converted)/.test(key))).toEqual([]);
  });

  it('are not used by being listed, verified and pruned', async () => {
    await fill();
    for await (const { verdict } of verifyEntries(open(), SIGNAL)) expect(verdict).not.toBe('damaged');
    const oldest = Date.now() - 40 * DAY_MS;
    const entries = await listEntries(open(), SIGNAL);
    expect(entries.filter(({ entry, cache }) => cache.kind !== 'digests' && entry.lastUsed.getTime() > oldest)).toEqual(
      [],
    );
  });

  it('are cleared of what killed commands left', async () => {
    await put(`http/${'0'.repeat(16)}-6c8f9a57-0c1d-4ff3-9f2b-3b0f5f3b8a11`, 'half');
    await put(`http/.tmp-removed-${'0'.repeat(16)}/x`, 'half');
    await put('http/notes', 'of somebody');
    await prune(30, open(false));
    expect(await readdir(at('http'))).toHaveLength(3);
    await prune(30);
    expect(await readdir(at('http'))).toEqual(['notes']);
  });

  it('are compared with what they are named after', async () => {
    await fill();
    await put(`http/${hex('body')}`, 'other');
    await put(`converted/blobs/sha256/${hex('layer')}`, 'other');
    await put(`cache/step/${hex('a')}.json`, '{');
    await put('file-digests.json', 'x');
    const damaged: string[] = [];
    for await (const { cache, verdict } of verifyEntries(open(), SIGNAL)) {
      if (verdict === 'damaged') damaged.push(cache.kind);
    }
    expect(damaged).toEqual(['records', 'http', 'converted', 'digests']);
  });
});
