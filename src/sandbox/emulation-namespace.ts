import { StkError, messageOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { startTool, runTool, type RunningTool } from '../host/exec.ts';
import { mkdir, open, readFile, writeFile, type FileHandle } from '../host/files.ts';
import { programMagic, type Architecture } from './foreign-architectures.ts';

/**
 * A user namespace with emulators of its own: binfmt_misc can be mounted there since Linux 6.7, and what is registered in it
 * counts for its processes alone, so that nothing of the host changes (binfmt_misc.c, `load_binfmt_misc`). Ids are those of
 * the namespace that this process is in, all of them, and files belong to whom they belong to there. It lasts as long as a
 * process of its own that holds its mount, which ends with this one.
 */
export class EmulationNamespace implements AsyncDisposable {
  readonly #holder: RunningTool;
  readonly #register: string;
  readonly #file: FileHandle;
  readonly #registered = new Set<string>();

  private constructor(holder: RunningTool, register: string, file: FileHandle) {
    this.#holder = holder;
    this.#register = register;
    this.#file = file;
  }

  /**
   * Needs the rights of root of this user namespace. Throws `missing-capability` where the kernel has no such mounts.
   * @param directory an empty directory of the caller's, which the namespace uses as a mount point
   */
  static async open(directory: AbsPath, signal?: AbortSignal): Promise<EmulationNamespace> {
    const holder = await startTool('unshare', ['--user', '--mount', '--propagation', 'private', 'cat'], {
      stdin: 'pipe',
      stdout: 'pipe',
      signal,
    });
    // It ends by our hand alone.
    holder.done.catch(() => {});
    try {
      await answer(holder);
      const processFiles = `/proc/${holder.pid}`;
      for (const map of ['gid_map', 'uid_map']) {
        await writeFile(`${processFiles}/${map}`, sameIds(await readFile(`/proc/self/${map}`, 'utf8')));
      }
      const point = joinInside(directory, 'binfmt');
      await mkdir(point, { recursive: true });
      await mountInside(holder.pid, point, signal);
      const file = await open(`${processFiles}/ns/user`, 'r');
      return new EmulationNamespace(holder, `${processFiles}/root${point}/register`, file);
    } catch (error) {
      await end(holder);
      throw error;
    }
  }

  /** Descriptor of the user namespace, for as long as this is not disposed. */
  get fd(): number {
    return this.#file.fd;
  }

  /**
   * Has programs of an architecture run by an emulator, which must be linked statically: it is opened now, and needs no file in
   * the root of who uses it (flag F). It gets the program's own name for itself as well (flag P).
   */
  async register(name: string, architecture: Architecture, emulator: AbsPath): Promise<void> {
    if (this.#registered.has(name)) return;
    const { magic, mask } = programMagic(architecture);
    await writeFile(this.#register, `:${name}:M::${escaped(magic)}:${escaped(mask)}:${emulator}:FP`);
    this.#registered.add(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await end(this.#holder);
  }
}

/** Once it answers, the program runs inside. */
async function answer(holder: RunningTool): Promise<void> {
  holder.stdin.write('\n');
  const first = new Promise<void>(resolve => holder.stdout.once('data', () => resolve()));
  await Promise.race([first, holder.done]);
}

async function end(holder: RunningTool): Promise<void> {
  holder.kill('SIGKILL');
  await holder.done.catch(() => {});
}

async function mountInside(pid: number, point: AbsPath, signal: AbortSignal | undefined): Promise<void> {
  const inside = ['--target', String(pid), '--user', '--mount', '--', 'mount'];
  try {
    await runTool('nsenter', [...inside, '-t', 'binfmt_misc', 'binfmt_misc', point], { signal });
  } catch (cause) {
    throw new StkError('missing-capability', `this kernel has no emulators in user namespaces: ${messageOf(cause)}`, {
      cause,
      hint: 'Linux 6.7 has them; until then root registers them for the whole host: apt-get install -y qemu-user-static binfmt-support',
    });
  }
}

/** A map of ids to themselves, of all those that this namespace has (user_namespaces(7)). */
export function sameIds(map: string): string {
  const extents = map.split('\n').map(line => line.trim().split(/\s+/));
  return extents
    .flatMap(([inside, , count]) => (count === undefined ? [] : [`${inside} ${inside} ${count}\n`]))
    .join('');
}

function escaped(bytes: Buffer): string {
  return [...bytes].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
