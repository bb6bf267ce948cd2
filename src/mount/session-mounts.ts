import { mkdir, rm } from '../host/files.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { digestHex, type Digest } from '../core/digest.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { unmount } from '../host/tools/mount.ts';
import type { LayerFile, MountedLayers } from '../sandbox/mounted-layers.ts';
import { assessLayer, type AssessedLayer } from './assess-layer.ts';
import { chooseMethod, type Engine, type HostAbilities } from './choose-method.ts';
import { ComparedFiles } from './compared-files.ts';
import { probeHost } from './host-abilities.ts';
import { verityRootOf } from './image-layers.ts';
import { inspectLayer } from './inspect-layer.ts';
import { mountLayer, withoutLacking } from './mount-layer.ts';
import { makePrivate } from './state-directory.ts';

/** Why layers may be given to the kernel that were not packed here. */
export type LayerTrust = (digest: Digest) => 'signed' | 'trusted' | undefined;

export interface SessionMountsOptions {
  /** Mount points are made in it. */
  readonly directory: AbsPath;
  /** See `stateHome`. */
  readonly home: AbsPath;
  readonly engine: Engine;
  readonly trust: LayerTrust;
}

/**
 * Mounts layers below one directory, each once, until disposed. It works inside of a mount namespace of its own: even if
 * this process is killed, nothing stays mounted. Each layer is mounted as `chooseMethod` says of it alone.
 */
export class SessionMounts implements MountedLayers, AsyncDisposable {
  readonly #options: SessionMountsOptions;
  readonly #compared: ComparedFiles;
  readonly #mounted = new Map<Digest, AbsPath>();
  readonly #flights = new SingleFlight<Digest, AbsPath>();
  readonly #scope = new AsyncScope();
  #host: HostAbilities;

  private constructor(options: SessionMountsOptions, compared: ComparedFiles, host: HostAbilities) {
    this.#options = options;
    this.#compared = compared;
    this.#host = host;
  }

  static async open(options: SessionMountsOptions): Promise<SessionMounts> {
    const hasHome = await makePrivate(options.home).then(
      () => true,
      // Then each file is compared each time.
      () => false,
    );
    const compared = new ComparedFiles(hasHome ? options.home : undefined);
    return new SessionMounts(options, compared, await probeHost(undefined));
  }

  async mountStack(layers: readonly LayerFile[], signal?: AbortSignal): Promise<AbsPath[]> {
    const mounted = new Set<AbsPath>();
    for (const layer of layers.toReversed()) mounted.add(await this.#mount(layer, signal));
    return [...mounted];
  }

  async #mount(layer: LayerFile, signal: AbortSignal | undefined): Promise<AbsPath> {
    const { digest } = layer.descriptor;
    return this.#mounted.get(digest) ?? this.#flights.run(digest, () => this.#mountNew(layer, signal));
  }

  async #mountNew({ descriptor, file }: LayerFile, signal: AbortSignal | undefined): Promise<AbsPath> {
    const { digest } = descriptor;
    const trust = this.#options.trust(digest);
    const inspected = await inspectLayer({ descriptor, file, verityRoot: verityRootOf(descriptor) }, signal);
    const layer = await assessLayer(inspected, () => trust === 'signed');
    const target = joinInside(this.#options.directory, digestHex(digest));
    await mkdir(target, { recursive: true });
    await this.#mountAt(layer, target, trust === 'trusted', signal);
    this.#scope.defer(async () => {
      await unmount(target, { lazy: true });
      await rm(target, { recursive: true });
    });
    this.#mounted.set(digest, target);
    return target;
  }

  async #mountAt(
    layer: AssessedLayer,
    target: AbsPath,
    trusted: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { engine } = this.#options;
    const compared = this.#compared;
    for (;;) {
      const host = this.#host;
      const method = chooseMethod(host, { engine, verify: 'once', trusted, layers: [layer] });
      try {
        return await mountLayer({ layer, method, file: layer.file, target, compared, signal });
      } catch (error) {
        this.#host = withoutLacking(host, error);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#mounted.clear();
    await this.#scope[Symbol.asyncDispose]();
  }
}
