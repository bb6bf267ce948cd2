import { EventEmitter, on } from 'node:events';
import { describe, expect, it } from 'vitest';
import { fakeBlob } from '../../test/rig/fake-registry.ts';
import { BYTES, REPOSITORY, descriptorOf, read, source, start } from '../../test/rig/fake-registry-store.ts';
import { DEFAULT_RETRY } from '../host/http-retry.ts';

const sum = (delays: readonly number[]) => delays.reduce((a, b) => a + b, 0);

describe('a transfer that gets nowhere', () => {
  it.each([/^PATCH /, /^PUT /, /^POST /])('is given up after one patience: %s', async match => {
    await using rig = await start();
    rig.fake.failNext({ match, with: { kind: 'status', status: 503 }, times: 1000 });
    const failure = await rig.store.putBlob(descriptorOf(BYTES), source()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'registry' });
    expect(sum(rig.delays)).toBeGreaterThan(DEFAULT_RETRY.patienceMs / 2);
    expect(sum(rig.delays)).toBeLessThanOrEqual(DEFAULT_RETRY.patienceMs + 1000);
  });

  it('is given up after one patience where all of its requests hang', async () => {
    const delays: number[] = [];
    const delay = async (delayMs: number) => void delays.push(delayMs);
    const clock = { now: () => sum(delays), delay, random: () => 1 };
    const options = { headersTimeoutMs: 20, bodyTimeoutMs: 20, retry: { patienceMs: 1000 }, ...clock };
    await using rig = await start({}, {}, options);
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: /^(PATCH|GET) .*blobs/, with: { kind: 'hang' }, times: 1000 });
    for (const transfer of [
      () => rig.store.putBlob(descriptorOf(BYTES.subarray(1)), source(BYTES.subarray(1))),
      () => read(rig.store, blob),
      () => rig.store.readBlobRange(blob, 1, 10),
    ]) {
      delays.length = 0;
      await expect(transfer()).rejects.toMatchObject({
        code: 'network',
        message: expect.stringMatching(/no answer came in time; \d tries in 1\.0s/) as string,
        hint: expect.stringContaining('try again later') as string,
      });
      expect(sum(delays)).toBeLessThanOrEqual(5000);
    }
  });

  it('begins anew where the registry does not say what it has of an upload', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PATCH /, with: { kind: 'drop', afterBytes: 1000 } });
    rig.fake.failNext({ match: /^GET .*uploads/, with: { kind: 'status', status: 503 }, times: 1000 });
    await rig.store.putBlob(descriptorOf(BYTES), source());
    expect(sum(rig.delays)).toBeLessThan(DEFAULT_RETRY.patienceMs / 4);
  });

  it('is told of, with the blob, the registry and how long', async () => {
    const told = new EventEmitter();
    const onQuiet = (text: string) => void told.emit('quiet', text);
    await using rig = await start({}, {}, { quietMs: 50, onQuiet, now: Date.now });
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    rig.fake.failNext({ match: /^(PATCH|GET) .*blobs/, with: { kind: 'hang' }, times: 2 });
    await rig.store.ping();
    const missing = descriptorOf(BYTES.subarray(1));
    const transfers = [
      [`sending blob ${missing.digest} to`, (signal: AbortSignal) => rig.store.putBlob(missing, source(), { signal })],
      [`reading blob ${blob.digest} of`, (signal: AbortSignal) => rig.store.readBlobRange(blob, 1, 10, { signal })],
    ] as const;
    for (const [what, transfer] of transfers) {
      const stop = new AbortController();
      const quiet = on(told, 'quiet');
      const running = transfer(stop.signal).catch((error: unknown) => error);
      const wanted = new RegExp(`^${what} ${rig.fake.host}/${REPOSITORY}: nothing for \\d+\\.\\ds`);
      // On a busy machine other requests of the transfer are quiet for a moment, too.
      for await (const [text] of quiet as AsyncIterable<[string]>) if (wanted.test(text)) break;
      stop.abort();
      expect(await running).toMatchObject({ code: 'interrupted' });
    }
  });
});

describe('looking for a blob', () => {
  it('does not end a push where every second look fails', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^HEAD /, with: { kind: 'status', status: 500 }, times: 7 });
    rig.fake.failNext({ match: /^PUT /, with: { kind: 'headers', status: 202, headers: {} } });
    await rig.store.putBlob(descriptorOf(BYTES), source());
    expect(rig.fake.state.blob(REPOSITORY, descriptorOf(BYTES).digest)).toBeDefined();
  });

  it('is not waited for as long as for what is needed', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^HEAD /, with: { kind: 'status', status: 500 }, times: 1000 });
    await rig.store.putBlob(descriptorOf(BYTES), source());
    expect(sum(rig.delays)).toBeLessThanOrEqual(10_000);
  });

  it('after a push whose answer says little, does not fail it without an answer', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^PUT /, with: { kind: 'status', status: 202 } });
    rig.fake.failNext({ match: /^HEAD /, with: { kind: 'status', status: 500 }, times: 1000 });
    await rig.store.putBlob(descriptorOf(BYTES), source());
  });
});
