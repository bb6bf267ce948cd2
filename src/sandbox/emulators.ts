import { isStkError, StkError } from '../core/errors.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { Remembered } from '../core/remembered.ts';
import type { AbsPath } from '../core/paths.ts';
import { findTool, missingTool } from '../host/find-tool.ts';
import { runTool } from '../host/exec.ts';
import { makeTempDir } from '../host/temp-dir.ts';
import { openUnnamedFile } from '../host/tools/bwrap-arguments.ts';
import type { Platform } from '../oci/descriptor.ts';
import { normalizePlatform } from '../oci/platform.ts';
import { EmulationNamespace } from './emulation-namespace.ts';
import { foreignArchitecture, PROBE_STATUS, probeProgram, type Architecture } from './foreign-architectures.ts';

/** How programs of an architecture run in a sandbox. */
export interface ProgramSupport {
  /** Descriptor of the user namespace that has the emulator; absent where the processor or the host itself runs them. */
  readonly userNamespace?: number;
  /** Why they do not run. An image may say of itself what is not so, and then this is no matter. */
  readonly problem?: StkError;
}

/** Emulators for the sandboxes of a build, each tried before it is believed in. Belongs to one set of namespaces. */
export class Emulators implements AsyncDisposable {
  readonly #directory: AbsPath;
  readonly #hostArchitecture: string;
  readonly #known = new Remembered<string, ProgramSupport>();
  readonly #namespaces = new Remembered<'own', EmulationNamespace>();
  readonly #scope = new AsyncScope();

  /** @param directory for what lives as long as this */
  constructor(directory: AbsPath, hostArchitecture: string) {
    this.#directory = directory;
    this.#hostArchitecture = hostArchitecture;
  }

  /** Finds out how programs of an image for a platform can run. */
  async supportFor(platform: Platform, signal?: AbortSignal): Promise<ProgramSupport> {
    const { architecture: name } = normalizePlatform(platform);
    const architecture = foreignArchitecture(name);
    if (name === this.#hostArchitecture || architecture === undefined) return {};
    return this.#known.get(name, () => this.#find(name, architecture, signal));
  }

  async #find(name: string, architecture: Architecture, signal: AbortSignal | undefined): Promise<ProgramSupport> {
    if (await this.#runs(architecture, undefined, signal)) return {};
    try {
      const emulator = await findEmulator(architecture);
      const namespace = await this.#namespaces.get('own', () => this.#open(signal));
      await namespace.register(`stk-${name}`, architecture, emulator);
      if (await this.#runs(architecture, namespace.fd, signal)) return { userNamespace: namespace.fd };
      const hint = 'an emulator that is linked statically is needed: apt-get install -y qemu-user-static';
      throw new StkError('missing-capability', `${emulator} runs no program for ${name}`, { hint });
    } catch (error) {
      if (isStkError(error, 'missing-capability')) return { problem: error };
      throw error;
    }
  }

  async #open(signal: AbortSignal | undefined): Promise<EmulationNamespace> {
    const directory = this.#scope.use(await makeTempDir(this.#directory, 'emulation'));
    return this.#scope.use(await EmulationNamespace.open(directory.path, signal));
  }

  /** Whether a program of an architecture runs in a root that holds nothing else. */
  async #runs(architecture: Architecture, namespace: number | undefined, signal?: AbortSignal): Promise<boolean> {
    await using probe = await openUnnamedFile(this.#directory, probeProgram(architecture));
    const inNamespace = namespace === undefined ? [] : ['--userns', '4'];
    const root = ['--tmpfs', '/', '--perms', '0755', '--file', '3', '/probe'];
    const { exitCode } = await runTool('bwrap', ['--die-with-parent', ...inNamespace, ...root, '--', '/probe'], {
      inheritFds: [probe.fd, ...(namespace === undefined ? [] : [namespace])],
      okExitCodes: Array.from({ length: 256 }, (_, status) => status),
      signal,
    });
    return exitCode === PROBE_STATUS;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#known.settle();
    await this.#scope[Symbol.asyncDispose]();
  }
}

async function findEmulator({ emulator }: Architecture): Promise<AbsPath> {
  for (const name of [`qemu-${emulator}-static`, `qemu-${emulator}`]) {
    const found = await findTool(name);
    if (found) return found;
  }
  throw missingTool(`qemu-${emulator}-static`);
}
