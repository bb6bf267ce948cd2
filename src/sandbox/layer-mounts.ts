import { AsyncScope } from '../core/async-scope.ts';
import { digestHex, type Digest } from '../core/digest.ts';
import { StkError, messageOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { mkdir, rm } from '../host/files.ts';
import { mountSquashfsLoop, mountSquashfuse, unmount } from '../host/tools/mount.ts';

/** A squashfs blob on disk. */
export interface LayerFile {
  readonly digest: Digest;
  readonly path: AbsPath;
}

/**
 * Mounts layer blobs below one directory, each once, until disposed. It works inside the build's own mount namespace:
 * even if this process is killed, nothing stays mounted.
 */
export class LayerMounts implements AsyncDisposable {
  readonly #directory: AbsPath;
  readonly #how: 'kernel' | 'fuse';
  readonly #mounted = new Map<Digest, AbsPath>();
  readonly #flights = new SingleFlight<Digest, AbsPath>();
  readonly #scope = new AsyncScope();

  /** @param how `kernel` needs real root; `fuse` works for anybody */
  constructor(directory: AbsPath, how: 'kernel' | 'fuse') {
    this.#directory = directory;
    this.#how = how;
  }

  /** Directory on which the layer is mounted, read-only. */
  async mount(layer: LayerFile, signal?: AbortSignal): Promise<AbsPath> {
    const there = this.#mounted.get(layer.digest);
    return there ?? this.#flights.run(layer.digest, () => this.#mountNew(layer, signal));
  }

  /**
   * Mounts a stack given from the bottom up, and returns it uppermost first, each layer once: overlayfs refuses a directory
   * that stands twice in a stack, and below its uppermost place a layer has nothing to say that it does not say above.
   */
  async mountStack(layers: readonly LayerFile[], signal?: AbortSignal): Promise<AbsPath[]> {
    const mounted = new Set<AbsPath>();
    for (const layer of layers.toReversed()) mounted.add(await this.mount(layer, signal));
    return [...mounted];
  }

  async #mountNew(layer: LayerFile, signal: AbortSignal | undefined): Promise<AbsPath> {
    const target = joinInside(this.#directory, digestHex(layer.digest));
    await mkdir(target, { recursive: true });
    const mount = this.#how === 'kernel' ? mountSquashfsLoop : mountSquashfuse;
    try {
      await mount(layer.path, target, signal);
    } catch (cause) {
      if (cause instanceof StkError && cause.code === 'missing-capability') throw cause;
      throw new StkError('tool-failed', `cannot mount layer ${layer.digest}: ${messageOf(cause)}`, {
        cause,
        hint: 'run `stk check`: it names what is missing and the line that mends it',
        facts: { digest: layer.digest, path: layer.path },
      });
    }
    this.#scope.defer(async () => {
      await unmount(target, { lazy: true });
      await rm(target, { recursive: true });
    });
    this.#mounted.set(layer.digest, target);
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#mounted.clear();
    await this.#scope[Symbol.asyncDispose]();
  }
}
