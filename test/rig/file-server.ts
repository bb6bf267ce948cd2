import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { execa } from 'execa';
import { copyNativeCode } from '../../scripts/native-code.mjs';
import type { Digest } from '../../src/core/digest.ts';
import type { AbsPath } from '../../src/core/paths.ts';
import { readMountTable } from '../../src/host/mount-table.ts';
import { startServer, type FilesToMount } from '../../src/lazy/start-server.ts';
import type { BlobToServe } from '../../src/lazy/serve-spec.ts';
import { commandAs, ordinaryUser, self, type Actor } from './users.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '..', '..');
const SERVER = `import { exitAtOnce } from './src/host/syscalls/exit.ts';
import { runServer } from './src/lazy/run-server.ts';
import { readServerEnvironment } from './src/lazy/server-settings.ts';
const controller = new AbortController();
process.on('SIGTERM', () => controller.abort());
process.on('SIGUSR2', () => { throw new Error('a fault'); });
const { settings, taken } = readServerEnvironment(process.env);
await runServer({ ...taken, settings, command: [process.execPath, process.argv[1]], signal: controller.signal });
exitAtOnce(0);`;
const STARTER = `import { startServer } from './src/lazy/start-server.ts';
const [spec, ...command] = process.argv.slice(2);
const { pid } = await startServer(JSON.parse(spec), { command: [process.execPath, ...command], build: 'rig', idleMs: 0 });
console.log(pid);`;

export interface StartedFileServer {
  readonly pid: number;
  readonly keeper: number;
  readonly spec: FilesToMount;
  readonly target: AbsPath;
  /** Entries of the log whose event is this. */
  logged(event: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** A directory with blobs and servers of them; disposing it removes it, and fails if something was left mounted. */
export class FileServerRig implements AsyncDisposable {
  readonly directory: string;
  #count = 0;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async open(as?: Actor): Promise<FileServerRig> {
    const rig = new FileServerRig(await mkdtemp(path.join(os.tmpdir(), 'stk-served-')));
    await chmod(rig.directory, 0o755);
    const account = as === 'user' && self.uid === 0 ? await ordinaryUser() : undefined;
    if (account) await chown(rig.directory, account.uid, account.gid);
    copyNativeCode(rig.path('native'));
    await rig.bundle('server', SERVER);
    await rig.bundle('starter', STARTER);
    return rig;
  }

  path(...parts: readonly string[]): AbsPath {
    return path.join(this.directory, ...parts) as AbsPath;
  }

  /** Makes a program of TypeScript that imports from the repository. */
  async bundle(name: string, code: string): Promise<AbsPath> {
    const outfile = this.path(`${name}.mjs`);
    await build({
      stdin: { contents: code, resolveDir: REPOSITORY, loader: 'ts' },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      logLevel: 'error',
      banner: {
        js: "import { createRequire as rigRequire } from 'node:module'; const require = rigRequire(import.meta.url);",
      },
    });
    return outfile;
  }

  /** A blob of random data, or of a file, with a verity tree that veritysetup made. */
  async blob(name: string, data: number | string): Promise<BlobToServe> {
    const file = this.path(name);
    await writeFile(file, typeof data === 'number' ? randomBytes(data) : await readFile(data), { mode: 0o644 });
    const { size } = await stat(file);
    const { stdout } = await execa('veritysetup', ['format', `--hash-offset=${size}`, file, file]);
    const verityRoot = /Root hash:\s*([0-9a-f]{64})/.exec(stdout)![1]!;
    const bytes = await readFile(file);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
    return { name, path: file, digest, sizeBytes: bytes.length, verityRoot };
  }

  /** A copy of a blob in which one bit differs. */
  async flipped(blob: BlobToServe, offset: number): Promise<BlobToServe> {
    const file = this.path(`${blob.name}.flipped-${offset}`);
    const bytes = await readFile(blob.path);
    bytes[offset]! ^= 1 << (offset & 7);
    await writeFile(file, bytes);
    return { ...blob, path: file };
  }

  spec(blobs: readonly BlobToServe[], options: Partial<FilesToMount> = {}): StartedFileServer['spec'] {
    const target = this.path(`mount-${++this.#count}`);
    return {
      target,
      blobs,
      logFile: `${target}.log` as AbsPath,
      stateFile: `${target}.state` as AbsPath,
      allowOther: false,
      drainMs: 5000,
      ...options,
    };
  }

  /** Starts a server of this process's user, with the starter in this process. */
  async start(blobs: readonly BlobToServe[], options: Partial<FilesToMount> = {}): Promise<StartedFileServer> {
    return this.restart(this.spec(blobs, options));
  }

  async restart(
    spec: StartedFileServer['spec'],
    options: { readonly silenceMs?: number } = {},
  ): Promise<StartedFileServer> {
    const command = [process.execPath, this.path('server.mjs')];
    // It ends with its last mount.
    const { pid, keeper = 0 } = await startServer(spec, { command, build: 'rig', idleMs: 0, ...options });
    const logged = async (event: string) => {
      const lines = (await readFile(spec.logFile, 'utf8')).split('\n').filter(line => line.startsWith('{'));
      return lines.map(line => JSON.parse(line) as Record<string, unknown>).filter(entry => entry['event'] === event);
    };
    return { pid, keeper, spec, target: spec.target, logged };
  }

  /** A shell command that starts a server, and says its pid, for tests that have another user run it. */
  starterCommand(spec: StartedFileServer['spec']): string {
    const words = [process.execPath, this.path('starter.mjs'), JSON.stringify(spec), this.path('server.mjs')];
    return words.map(word => `'${word}'`).join(' ');
  }

  /** Runs a shell script as somebody, with what the machine has on its PATH. */
  async script(as: Actor | undefined, script: string, wrapper: readonly string[] = []): Promise<string> {
    const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
    const [first, ...rest] = [...wrapper, 'sh', '-ec', script];
    const { file, args, identity } = await commandAs(as, [first, ...rest], env);
    const limits = { cwd: this.directory, timeout: 60_000, killSignal: 'SIGKILL' } as const;
    return (await execa(file, args, { ...identity, ...limits, env, extendEnv: false })).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const mounts = await readMountTable();
    const left = mounts.map(mount => mount.target).filter(target => target.startsWith(`${this.directory}/`));
    for (const target of left.toReversed()) await execa('umount', ['--lazy', target], { reject: false });
    await rm(this.directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`left mounted: ${left.join(', ')}`);
  }
}

/** Resolves when a process is gone, by the kernel's word: the file in /proc cannot be read any more. */
export async function gone(pid: number, within = 10_000): Promise<void> {
  for (const deadline = Date.now() + within; ;) {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (text === undefined || /\) [ZX] /.test(text)) return;
    if (Date.now() > deadline) throw new Error(`process ${pid} still lives: ${text}`);
    await new Promise(resolve => setImmediate(resolve));
  }
}

/** Kills a server together with the process that would start it again. */
export async function killForGood(pid: number): Promise<void> {
  const [, , group] = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]!.split(' ');
  process.kill(-Number(group), 'SIGKILL');
  await gone(pid);
}

/** Reads each 4 KiB block alone and tells those that fail, with their error. */
export async function failingBlocks(file: string, blockBytes = 4096): Promise<ReadonlyMap<number, string>> {
  const failures = new Map<number, string>();
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(blockBytes);
    for (let offset = 0; offset < size; offset += blockBytes) {
      await handle.read(buffer, 0, blockBytes, offset).catch((error: NodeJS.ErrnoException) => {
        failures.set(offset / blockBytes, error.code ?? String(error));
      });
    }
  } finally {
    await handle.close();
  }
  return failures;
}

export async function sha256File(file: string): Promise<string> {
  return (await execa('sha256sum', [file])).stdout.slice(0, 64);
}
