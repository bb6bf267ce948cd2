import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { runTool, startTool } from './exec.ts';
import { lockFile, tryLockFile } from './file-lock.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'stk-host-'));
});
afterAll(() => rm(directory, { recursive: true }));

describe('runTool', () => {
  it('returns stdout and passes no environment but its own', async () => {
    process.env['STK_LEAK'] = 'yes';
    const { stdout } = await runTool('env', [], { env: { GIVEN: '1' } });
    delete process.env['STK_LEAK'];
    const names = stdout
      .toString()
      .trim()
      .split('\n')
      .map(line => line.split('=')[0]);
    expect(names.sort()).toEqual(['GIVEN', 'LC_ALL', 'PATH']);
  });

  it('feeds input', async () => {
    expect((await runTool('cat', [], { input: 'ignore' })).stdout.toString()).toBe('ignore');
  });

  it('fails with argv, status and the last lines of stderr', async () => {
    await expect(runTool('sh', ['-c', 'echo one >&2; echo two >&2; exit 3'])).rejects.toMatchObject({
      code: 'tool-failed',
      message: expect.stringContaining('one\ntwo'),
      facts: { command: ['sh', '-c', 'echo one >&2; echo two >&2; exit 3'], exitCode: 3 },
    });
  });

  it('names the command that it is told to name', async () => {
    const tool = await startTool('sh', ['-c', 'kill -9 $$'], { shownAs: ['bwrap', '--', 'true'] });
    await expect(tool.done).rejects.toMatchObject({
      message: 'bwrap was ended by SIGKILL',
      facts: { command: ['bwrap', '--', 'true'], signal: 'SIGKILL' },
    });
  });

  it('names the package of a missing tool', async () => {
    await expect(runTool('no-such-tool', [])).rejects.toMatchObject({ code: 'missing-capability' });
  });

  it('recognises a full disk', async () => {
    await expect(runTool('dd', ['if=/dev/zero', 'of=/dev/full', 'count=1'])).rejects.toMatchObject({ code: 'storage' });
  });

  it('ends the tool when the signal fires', async () => {
    const controller = new AbortController();
    const tool = await startTool('sleep', ['60'], { signal: controller.signal });
    controller.abort();
    await expect(tool.done).rejects.toMatchObject({ code: 'interrupted' });
    expect(() => process.kill(tool.pid, 0)).toThrow();
  });

  it.each(['a kill', 'the signal'])('ends by %s, though output is left that nobody reads', async how => {
    const controller = new AbortController();
    const tool = await startTool('cat', ['/dev/zero'], { stdout: 'pipe', signal: controller.signal });
    await (tool.stdout as AsyncIterable<Buffer>)[Symbol.asyncIterator]().next();
    if (how === 'a kill') tool.kill('SIGKILL');
    else controller.abort();
    await expect(tool.done).rejects.toMatchObject({ code: how === 'a kill' ? 'tool-failed' : 'interrupted' });
  });

  it('lets a tool inherit descriptors', async () => {
    const target = path.join(directory, 'out');
    const file = await open(target, 'w');
    await runTool('sh', ['-c', 'echo hello >&3'], { inheritFds: [file.fd] });
    await file.close();
    expect((await runTool('cat', [target])).stdout.toString()).toBe('hello\n');
  });
});

describe('file locks', () => {
  it('exclude each other and are released by dispose', async () => {
    const target = path.join(directory, 'lock') as AbsPath;
    await writeFile(target, '');
    const first = await lockFile(target, 'exclusive');
    expect(await tryLockFile(target, 'shared')).toBeUndefined();
    let waited = false;
    const order: string[] = [];
    const second = lockFile(target, 'shared', {
      onWait: () => {
        waited = true;
        order.push('released');
        void first[Symbol.asyncDispose]();
      },
    });
    const held = await second;
    order.push('held');
    expect([waited, order]).toEqual([true, ['released', 'held']]);
    await using third = (await tryLockFile(target, 'shared'))!;
    expect(third).toBeDefined();
    await held[Symbol.asyncDispose]();
  });

  it('are waited for as long as patience lasts, or until the signal fires', async () => {
    const target = path.join(directory, 'patience') as AbsPath;
    await writeFile(target, '');
    const first = await lockFile(target, 'exclusive');
    expect(await tryLockFile(target, 'exclusive', { patienceMs: 10 })).toBeUndefined();
    const controller = new AbortController();
    const patient = { patienceMs: 600_000, signal: controller.signal };
    const aborted = tryLockFile(target, 'exclusive', { ...patient, onWait: () => controller.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'interrupted' });
    const onWait = () => void first[Symbol.asyncDispose]();
    await using second = (await tryLockFile(target, 'exclusive', { patienceMs: 600_000, onWait }))!;
    expect(second).toBeDefined();
  });

  it('work on a directory', async () => {
    await using lock = await lockFile(directory as AbsPath, 'exclusive');
    expect(lock.path).toBe(directory);
    expect(await tryLockFile(directory as AbsPath, 'exclusive')).toBeUndefined();
  });
});

it('gives every line of stdout, however late the caller goes on', async () => {
  const lines: string[] = [];
  const tool = await startTool('sh', ['-c', 'seq 1 5000'], { stdout: 'pipe', onStdout: line => void lines.push(line) });
  await tool.done;
  expect(lines).toEqual(Array.from({ length: 5000 }, (_, n) => String(n + 1)));
});

it('a tool that fails before anybody waits for it is no unhandled rejection', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', listen);
  try {
    const tool = await startTool('false', []);
    await runTool('sleep', ['0.2']);
    await expect(tool.done).rejects.toMatchObject({ code: 'tool-failed' });
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', listen);
  }
});
