import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { REPOSITORY, start, type Rig } from '../../test/rig/fake-registry-store.ts';
import { FileServerRig } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { LazyBlob, PIECE_BYTES } from './lazy-blob.ts';
import { newCounters, type LazyCounters } from './lazy-counters.ts';
import { PartCache } from './part-cache.ts';
import { NO_PARTS } from './part-file.ts';
import { PatientSource } from './patient-source.ts';
import { RequestQueue } from './request-queue.ts';
import type { BlobToServe } from './serve-spec.ts';

/** Three levels of hashes. */
const DATA_BYTES = (128 * 128 + 3) * 4096;
const GET_BLOB = /^GET .*\/blobs\/sha256:/;

describe('a blob read lazily', () => {
  requires('tool:veritysetup');
  let rig: FileServerRig;
  let registry: Rig;
  let blob: BlobToServe;
  let bytes: Buffer;
  let descriptor: Descriptor;
  let directory: AbsPath;
  beforeAll(async () => {
    rig = await FileServerRig.open();
    blob = await rig.blob('blob', DATA_BYTES);
    bytes = await readFile(blob.path);
    descriptor = { mediaType: 'x', digest: blob.digest, size: bytes.length };
    registry = await start();
    registry.fake.state.putBlob(REPOSITORY, bytes);
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rig[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    registry.fake.requests.length = 0;
    registry.fake.forgetFailures();
    directory = (await mkdtemp(path.join(tmpdir(), 'lazy-'))) as AbsPath;
    return () => rm(directory, { recursive: true });
  });

  interface Opened extends AsyncDisposable {
    readonly reader: LazyBlob;
    readonly counters: LazyCounters;
    readonly delays: number[];
  }

  async function open(options: { keeps?: boolean; patienceMs?: number; maxBytes?: number } = {}): Promise<Opened> {
    const cache = new PartCache(directory, options.maxBytes);
    const counters = newCounters();
    const delays: number[] = [];
    let nowMs = 0;
    const source = new PatientSource({
      open: async () => registry.store,
      queue: new RequestQueue(8),
      patienceMs: options.patienceMs ?? 60_000,
      counters,
      delay: async delayMs => {
        delays.push(delayMs);
        nowMs += delayMs;
      },
      now: () => nowMs,
    });
    const verityRoot = blob.verityRoot!;
    const parts = options.keeps === false ? NO_PARTS : await cache.open({ ...blob, verityRoot });
    const reader = await LazyBlob.open({ descriptor, verityRoot, name: 'blob', source, parts, counters });
    return { reader, counters, delays, [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose]() };
  }

  it.each([true, false])('gives the bytes of any range, kept (%s)', async keeps => {
    await using opened = await open({ keeps });
    const { reader } = opened;
    expect(reader.sizeBytes).toBe(DATA_BYTES);
    const range = fc.tuple(fc.nat(DATA_BYTES), fc.nat(300_000));
    await fc.assert(
      fc.asyncProperty(range, async ([offset, most]) => {
        const length = Math.min(most, reader.sizeBytes - offset);
        expect((await reader.readAt(offset, length)).equals(bytes.subarray(offset, offset + length))).toBe(true);
      }),
      { numRuns: 60 },
    );
    await expect(reader.readAt(reader.sizeBytes, 1)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  /** Buffers are compared by value, and fast. */
  async function expectBytes(opened: Opened, offset: number, length: number): Promise<void> {
    const found = await opened.reader.readAt(offset, length);
    expect(found.equals(bytes.subarray(offset, offset + length))).toBe(true);
  }

  it('has its ends at hand after three requests', async () => {
    await using opened = await open();
    await expectBytes(opened, 0, 60_000);
    await expectBytes(opened, DATA_BYTES - 100_000, 100_000);
    expect(registry.fake.count(GET_BLOB)).toBe(3);
    expect(opened.counters.fetchedBytes).toBeLessThan(500_000);
  });

  it('fetches a piece once for eight readers, and neighbours by one request', async () => {
    await using opened = await open();
    await opened.reader.readAt(0, 1);
    const before = registry.fake.count(GET_BLOB);
    const reads = Array.from({ length: 8 }, () => opened.reader.readAt(PIECE_BYTES, 4 * PIECE_BYTES));
    for (const read of await Promise.all(reads)) {
      expect(read.equals(bytes.subarray(PIECE_BYTES, 5 * PIECE_BYTES))).toBe(true);
    }
    expect(registry.fake.count(GET_BLOB)).toBe(before + 1);
  });

  it('needs no registry for what is kept, in another process or this one', async () => {
    {
      await using first = await open();
      await first.reader.readAt(1_000_000, 200_000);
    }
    const before = registry.fake.count(GET_BLOB);
    await using second = await open();
    await expectBytes(second, 1_000_000, 200_000);
    expect(registry.fake.count(GET_BLOB)).toBe(before);
    expect(second.counters).toMatchObject({ requests: 0, hitBytes: 200_000, readBytes: 200_000 });
  });

  it('fetches anew what was damaged on the disk, whatever it is', async () => {
    const file = new PartCache(directory).partPath(blob.digest);
    {
      await using first = await open();
      await first.reader.readAt(0, 1_000_000);
    }
    const kept = await readFile(file);
    // The salt in the superblock, each level of the tree, the data.
    for (const offset of [DATA_BYTES + 88, DATA_BYTES + 4096, DATA_BYTES + 8192, DATA_BYTES + 16_384, 70_000]) {
      const damaged = Buffer.from(kept);
      damaged[offset]! ^= 1;
      await writeFile(file, damaged);
      await using again = await open();
      await expectBytes(again, 0, 200_000);
    }
  });

  it('answers wrong bytes with an error at once, keeps nothing of them, and asks again the next time', async () => {
    await using opened = await open();
    await opened.reader.readAt(0, 1);
    const offset = 20 * PIECE_BYTES;
    registry.fake.failNext({ match: GET_BLOB, with: { kind: 'wrong-bytes' } });
    const wrong = opened.reader.readAt(offset, 4096);
    await expect(wrong).rejects.toMatchObject({ code: 'integrity', facts: { digest: blob.digest } });
    expect(opened.delays).toEqual([]);
    expect(opened.counters.wrongAnswers).toBe(1);
    const kept = await readFile(new PartCache(directory).partPath(blob.digest));
    expect(kept.subarray(offset, offset + PIECE_BYTES).every(byte => byte === 0)).toBe(true);
    await expectBytes(opened, offset, 4096);
  });

  it('waits for a registry that is away, and gives up when its patience ends', async () => {
    await using opened = await open();
    await opened.reader.readAt(0, 1);
    const away = { match: GET_BLOB, with: { kind: 'drop', afterBytes: 0 } } as const;
    registry.fake.failNext({ ...away, times: 20 });
    await expectBytes(opened, 2_000_000, 10);
    expect(opened.delays.length).toBeGreaterThan(0);
    registry.fake.failNext({ ...away, times: 1_000_000 });
    await expect(opened.reader.readAt(3_000_000, 10)).rejects.toMatchObject({ code: 'network' });
    registry.fake.forgetFailures();
    await expectBytes(opened, 3_000_000, 10);
  });

  it('lets a reader go that gave up, and the others have what comes', async () => {
    await using opened = await open();
    await opened.reader.readAt(0, 1);
    const controller = new AbortController();
    const gone = opened.reader.readAt(4_000_000, 10, controller.signal);
    const other = opened.reader.readAt(4_000_000, 10);
    controller.abort();
    await expect(gone).rejects.toMatchObject({ code: 'interrupted' });
    expect((await other).equals(bytes.subarray(4_000_000, 4_000_010))).toBe(true);
  });

  it('goes on without a disk that has no room', async () => {
    await using opened = await open({ maxBytes: 1 });
    for (let at = 0; at < 40_000_000; at += 1_000_000) await opened.reader.readAt(at, 1000);
    expect(opened.counters.unkept).toBeGreaterThan(0);
    await expectBytes(opened, 39_000_000, 1000);
  });

  it('prefetches without counting it as read', async () => {
    await using opened = await open();
    await opened.reader.prefetch(6_000_000, 500_000, 'prefetch');
    const before = registry.fake.count(GET_BLOB);
    await opened.reader.prefetch(6_000_000, 500_000, 'background');
    await expectBytes(opened, 6_000_000, 500_000);
    expect(registry.fake.count(GET_BLOB)).toBe(before);
    expect(opened.counters).toMatchObject({ readBytes: 500_000, hitBytes: 500_000 });
  });
});
