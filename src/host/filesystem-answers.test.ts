import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileServerRig, gone, killForGood } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import type { AbsPath } from '../core/paths.ts';
import { filesystemsAnswer, hasWaitingThread } from './filesystem-answers.ts';

const here = import.meta.dirname as AbsPath;
const patience = { timeoutMs: 30_000 };

describe('filesystems', () => {
  requires('root', 'tool:veritysetup');
  let rig: FileServerRig;
  beforeAll(async () => {
    rig = await FileServerRig.open();
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  async function served() {
    const server = await rig.start([await rig.blob(`blob-${Math.random()}`, 8 * 4096)]);
    const end = async () => {
      await execa('umount', ['--lazy', server.target]);
      await gone(server.pid);
    };
    return { ...server, end };
  }

  it('answer where their servers do', async () => {
    const server = await served();
    expect(await filesystemsAnswer([], patience)).toBe(true);
    expect(await filesystemsAnswer([here, server.target, '/proc' as AbsPath], patience)).toBe(true);
    expect(await filesystemsAnswer([here, '/no/such/place' as AbsPath], patience)).toBe(false);
    await server.end();
  });

  it('do not where a server was killed', async () => {
    const server = await served();
    await killForGood(server.pid);
    expect(await filesystemsAnswer([here, server.target], patience)).toBe(false);
    expect(hasWaitingThread()).toBe(false);
    await execa('umount', ['--lazy', server.target]);
  });

  it('do not where one was stopped, which costs one thread and not the next answer', async () => {
    const server = await served();
    process.kill(server.pid, 'SIGSTOP');
    expect(await filesystemsAnswer([server.target, here], { timeoutMs: 300 })).toBe(false);
    expect(hasWaitingThread()).toBe(true);
    expect(await filesystemsAnswer([here], patience)).toBe(true);
    expect(await filesystemsAnswer([here, server.target], { timeoutMs: 300 })).toBe(false);
    const controller = new AbortController();
    const asked = filesystemsAnswer([server.target], { ...patience, signal: controller.signal });
    controller.abort();
    await expect(asked).rejects.toMatchObject({ code: 'interrupted' });
    process.kill(server.pid, 'SIGCONT');
    expect((await readFile(`${server.target}/${server.spec.blobs[0]!.name}`)).length).toBeGreaterThan(0);
    await server.end();
  });

  it('let a process end that waits for one', async () => {
    const server = await served();
    const program = await rig.bundle(
      'waits',
      `import { filesystemsAnswer, hasWaitingThread } from './src/host/filesystem-answers.ts';
      import { exitAtOnce } from './src/host/syscalls/exit.ts';
      const answers = await filesystemsAnswer([process.argv[2]], { timeoutMs: 200 });
      exitAtOnce(!answers && hasWaitingThread() ? 42 : 1);`,
    );
    process.kill(server.pid, 'SIGSTOP');
    const { exitCode } = await execa(process.execPath, [program, server.target], { reject: false, timeout: 60_000 });
    expect(exitCode).toBe(42);
    process.kill(server.pid, 'SIGCONT');
    await server.end();
  });
});
