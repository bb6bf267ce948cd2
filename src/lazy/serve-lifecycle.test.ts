import { once } from 'node:events';
import { mkdir, open, readFile, statfs } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { FileServerRig, failingBlocks, gone, killForGood, type StartedFileServer } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import { findMount } from '../host/mount-table.ts';
import type { BlobToServe } from './serve-spec.ts';

const DATA = 2000 * 4096;

describe('a server and those who come and go', () => {
  requires('root', 'tool:veritysetup');
  let rig: FileServerRig;
  let blob: BlobToServe;
  beforeAll(async () => {
    rig = await FileServerRig.open();
    blob = await rig.blob('blob', DATA);
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  const end = async (target: string, pid: number) => {
    await execa('umount', [target]);
    await gone(pid);
  };

  it('runs in a session of its own and outlives its starter', async () => {
    const spec = rig.spec([blob]);
    const pid = Number(await rig.script(undefined, rig.starterCommand(spec)));
    const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
    const { keeper } = JSON.parse(await readFile(spec.stateFile, 'utf8')) as { keeper: number };
    expect(stat.slice(2, 4)).toEqual([pid, pid].map(String));
    expect(await readFile(`/proc/${keeper}/stat`, 'utf8')).toMatch(
      new RegExp(`^${keeper} \\(perl\\) \\S ${pid} ${pid} ${pid} `),
    );
    expect((await readFile(`${spec.target}/blob`)).length).toBe(DATA);
    await end(spec.target, pid);
  });

  it('serves eight readers at once', async () => {
    const server = await rig.start([blob]);
    const expected = (await readFile(blob.path)).subarray(0, DATA);
    const readers = Array.from({ length: 8 }, (_, n) => {
      const options = [`if=${server.target}/blob`, 'status=none', `bs=${n + 1}M`, ...(n % 2 ? ['iflag=direct'] : [])];
      return execa('dd', options, { encoding: 'buffer' });
    });
    for (const { stdout } of await Promise.all(readers)) expect(Buffer.from(stdout).equals(expected)).toBe(true);
    await end(server.target, server.pid);
  });

  it('survives the death of a reader in the middle of its reads', async () => {
    const server = await rig.start([blob]);
    for (let n = 0; n < 5; n++) {
      const script = `while :; do dd if=${server.target}/blob iflag=direct bs=1M status=none; done`;
      const reader = execa('sh', ['-c', script], { reject: false, detached: true, encoding: 'buffer', buffer: false });
      await once(reader.stdout, 'data');
      process.kill(-reader.pid!, 'SIGKILL');
      reader.stdout.resume();
      await reader;
    }
    expect((await readFile(`${server.target}/blob`)).length).toBe(DATA);
    expect(await server.logged('fault')).toEqual([]);
    await end(server.target, server.pid);
  });

  it('lets a reader die that waits for bytes which never come', async () => {
    const program = await rig.bundle(
      'never',
      `import { mountDevice } from './src/host/fuse/mount-device.ts';
      import { ReadyFiles } from './src/host/syscalls/epoll.ts';
      import { setNonBlocking } from './src/host/syscalls/read-now.ts';
      import { serveFiles } from './src/lazy/file-server.ts';
      import { FileTable } from './src/lazy/file-table.ts';
      const readAt = (offset, length, signal) => new Promise((_, reject) => {
        console.log('asked');
        signal.addEventListener('abort', () => { console.log('interrupted'); reject(signal.reason); });
      });
      const reader = { name: 'never', sizeBytes: 1 << 20, readAt, async [Symbol.asyncDispose]() {} };
      const device = await mountDevice(process.argv[2], { allowOther: false, subtype: 'stk' }, 'mount');
      const table = new FileTable([{ name: 'never', reader }], { uid: 0, gid: 0 });
      setNonBlocking(device.fd);
      await serveFiles(device.fd, table, { ready: new ReadyFiles(), onReady: () => console.log('ready'), onReadError: console.error, onFault: console.error });
      await device[Symbol.asyncDispose]();`,
    );
    const target = rig.path('never');
    await mkdir(target);
    const server = execa(process.execPath, [program, target], { env: { UV_THREADPOOL_SIZE: '4' } });
    const lines = server[Symbol.asyncIterator]();
    expect(await lines.next()).toMatchObject({ value: 'ready' });
    const reader = execa('cat', [`${target}/never`], { reject: false });
    expect(await lines.next()).toMatchObject({ value: 'asked' });
    reader.kill('SIGKILL');
    expect(await reader).toMatchObject({ signal: 'SIGKILL' });
    await execa('umount', ['--lazy', target]);
    for (let line = await lines.next(); !line.done; line = await lines.next())
      expect(line.value).toMatch(/asked|interrupted/);
    expect((await server).exitCode).toBe(0);
  });

  it('leaves one that does not answer to its mounts, and starts another', async () => {
    const stopped = await rig.start([blob]);
    process.kill(stopped.pid, 'SIGSTOP');
    const other = await rig.restart(rig.spec([blob]), { silenceMs: 200 });
    expect(other.pid).not.toBe(stopped.pid);
    expect((await readFile(`${other.target}/blob`)).length).toBe(DATA);
    process.kill(stopped.pid, 'SIGCONT');
    expect((await readFile(`${stopped.target}/blob`)).length).toBe(DATA);
    await end(stopped.target, stopped.pid);
    // The name is the other's.
    const third = await rig.restart(rig.spec([blob]));
    expect(third.pid).toBe(other.pid);
    await execa('umount', [third.target]);
    await end(other.target, other.pid);
  });

  it('fails reads once it was killed with its keeper, and another takes its place', async () => {
    const server = await rig.start([blob]);
    const file = await open(`${server.target}/blob`, 'r');
    await killForGood(server.pid);
    await expect(file.read(Buffer.alloc(4096), 0, 4096, 0)).rejects.toMatchObject({
      code: expect.stringMatching(/^(ENOTCONN|EIO)$/),
    });
    await expect(statfs(server.target)).rejects.toMatchObject({ code: 'ENOTCONN' });
    const next = await rig.restart(server.spec);
    expect((await readFile(`${next.target}/blob`)).length).toBe(DATA);
    await expect(file.close()).rejects.toMatchObject({ code: 'ENOTCONN' });
    await end(next.target, next.pid);
  });

  it('refuses a target where a living server or something else is mounted', async () => {
    const server = await rig.start([blob]);
    await expect(rig.restart(server.spec)).rejects.toMatchObject({ code: 'conflict' });
    await end(server.target, server.pid);
    await execa('mount', ['-t', 'tmpfs', 'none', server.target]);
    await expect(rig.restart(server.spec)).rejects.toMatchObject({ code: 'conflict' });
    await execa('umount', [server.target]);
  });

  it('ends when it is unmounted while somebody reads', async () => {
    const server = await rig.start([blob]);
    const file = await open(`${server.target}/blob`, 'r');
    const reads = Array.from({ length: 50 }, (_, n) => file.read(Buffer.alloc(40_960), 0, 40_960, n * 40_960));
    await execa('umount', ['--lazy', server.target]);
    for (const { bytesRead } of await Promise.all(reads)) expect(bytesRead).toBe(40_960);
    await file.close();
    await gone(server.pid);
    expect(await server.logged('unmounted')).toHaveLength(1);
  });

  it('detaches on SIGTERM and serves whoever has a file open to the end', async () => {
    const server = await rig.start([blob], { drainMs: 60_000 });
    const file = await open(`${server.target}/blob`, 'r');
    process.kill(server.pid, 'SIGTERM');
    while (await findMount(server.target)) await new Promise(resolve => setImmediate(resolve));
    expect(await file.read(Buffer.alloc(4096), 0, 4096, 4096 * 999)).toMatchObject({ bytesRead: 4096 });
    await file.close();
    await gone(server.pid);
    await expect(readFile(server.spec.stateFile)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('cuts off on SIGTERM whoever stays longer than is allowed', async () => {
    const server = await rig.start([blob], { drainMs: 1 });
    const file = await open(`${server.target}/blob`, 'r');
    process.kill(server.pid, 'SIGTERM');
    await gone(server.pid);
    // A request that the end of the connection overtakes is aborted, one for a page ends as an I/O error, a later one finds
    // no connection.
    const cutOff = { code: expect.stringMatching(/^(ENOTCONN|ECONNABORTED|EIO)$/) };
    await expect(file.read(Buffer.alloc(4096), 0, 4096, 0)).rejects.toMatchObject(cutOff);
    await expect(file.close()).rejects.toMatchObject(cutOff);
    expect(await findMount(server.target)).toBeUndefined();
  });
});

describe('a server that is killed', () => {
  requires('root', 'tool:veritysetup');
  let rig: FileServerRig;
  let blob: BlobToServe;
  beforeAll(async () => {
    rig = await FileServerRig.open();
    blob = await rig.blob('blob', 10 * DATA);
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  interface Left {
    readonly pid: number;
    readonly keeper: number;
    readonly session?: { readonly canResend: boolean };
  }
  const left = async (server: StartedFileServer) => JSON.parse(await readFile(server.spec.stateFile, 'utf8')) as Left;

  /** Waits until another process serves. */
  async function successor(server: StartedFileServer, before: number): Promise<number> {
    let now = before;
    await expect.poll(async () => (now = (await left(server)).pid), { timeout: 30_000, interval: 5 }).not.toBe(before);
    return now;
  }

  async function started(context: TestContext): Promise<StartedFileServer> {
    const server = await rig.start([blob]);
    const { session } = await left(server);
    if (session?.canResend) return server;
    await execa('umount', [server.target]);
    await gone(server.pid);
    context.skip('the kernel cannot ask again what a dead server left unanswered (before 6.9)');
    throw new Error('skipped');
  }

  it('is followed by another, and whoever reads gets every byte', async context => {
    const server = await started(context);
    const expected = await execa('sh', ['-c', `head -c ${10 * DATA} '${blob.path}' | sha256sum`]);
    // Direct reads, so that none is answered from the page cache: each one goes to a server, dead or alive.
    const script = `for n in 1 2 3; do dd if=${server.target}/blob iflag=direct bs=1M status=none | sha256sum; done`;
    const reader = execa('sh', ['-ec', script]);
    const ended = reader.then(() => true);
    let pid = server.pid;
    for (let deaths = 0; deaths < 4; deaths++) {
      process.kill(pid, 'SIGKILL');
      pid = await successor(server, pid);
    }
    expect(await ended).toBe(true);
    expect((await reader).stdout.split('\n')).toEqual([expected.stdout, expected.stdout, expected.stdout]);
    expect(await server.logged('resumed')).toHaveLength(4);
    expect(await server.logged('fault')).toEqual([]);
    expect(await failingBlocks(`${server.target}/blob`, 1 << 20)).toEqual(new Map());
    await execa('umount', [server.target]);
    for (const process of [pid, server.keeper]) await gone(process);
    await expect(readFile(server.spec.stateFile)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('again and again is given up, and whoever reads gets an error instead of waiting', async context => {
    const server = await started(context);
    const reads = `while dd if=${server.target}/blob iflag=direct of=/dev/null bs=1M status=none; do :; done`;
    const reader = execa('sh', ['-c', reads]);
    let pid = server.pid;
    for (let deaths = 0; deaths < 5; deaths++) {
      process.kill(pid, 'SIGKILL');
      pid = await successor(server, pid);
    }
    process.kill(pid, 'SIGKILL');
    expect((await reader).stderr).toMatch(/connection abort|not connected/);
    await gone(server.keeper);
    const next = await rig.restart(server.spec);
    await execa('umount', [next.target]);
    await gone(next.pid);
  });

  it('does not come back for a mount that is gone', async context => {
    const server = await started(context);
    process.kill(server.keeper, 'SIGSTOP');
    process.kill(server.pid, 'SIGKILL');
    await execa('umount', ['--lazy', server.target]);
    process.kill(server.keeper, 'SIGCONT');
    await gone(server.keeper);
    expect(await findMount(server.target)).toBeUndefined();
  });

  it('is followed by another where it fails by itself', async context => {
    const server = await started(context);
    process.kill(server.pid, 'SIGUSR2');
    const pid = await successor(server, server.pid);
    expect((await readFile(`${server.target}/blob`)).length).toBe(10 * DATA);
    await execa('umount', [server.target]);
    await gone(pid);
  });

  it('gets another keeper where that is killed', async context => {
    const server = await started(context);
    process.kill(server.keeper, 'SIGKILL');
    await expect
      .poll(async () => (await left(server)).keeper, { timeout: 30_000, interval: 5 })
      .not.toBe(server.keeper);
    process.kill(server.pid, 'SIGKILL');
    const pid = await successor(server, server.pid);
    expect((await readFile(`${server.target}/blob`)).length).toBe(10 * DATA);
    await execa('umount', [server.target]);
    await gone(pid);
  });

  it('is followed by another for each of its mounts', async context => {
    const first = await started(context);
    const second = await rig.start([{ ...blob, name: 'other' }]);
    expect(second.pid).toBe(first.pid);
    process.kill(first.pid, 'SIGKILL');
    const pid = await successor(first, first.pid);
    expect(await successor(second, first.pid)).toBe(pid);
    expect((await readFile(`${first.target}/blob`)).length).toBe(10 * DATA);
    expect((await readFile(`${second.target}/other`)).length).toBe(10 * DATA);
    await execa('umount', [first.target]);
    await expect
      .poll(async () => readFile(first.spec.stateFile, 'utf8').catch(() => 'gone'), { timeout: 20_000 })
      .toBe('gone');
    process.kill(pid, 'SIGKILL');
    const last = await successor(second, pid);
    expect((await readFile(`${second.target}/other`)).length).toBe(10 * DATA);
    await execa('umount', [second.target]);
    await gone(last);
  });
});
