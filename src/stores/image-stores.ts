import type { AsyncScope } from '../core/async-scope.ts';
import { StkError } from '../core/errors.ts';
import { absPath, type AbsPath } from '../core/paths.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import {
  formatImageName,
  referenceOf,
  type ArchiveName,
  type ImageName,
  type LayoutName,
  type RegistryName,
} from '../oci/image-name.ts';
import { LayoutStore } from '../oci/layout.ts';
import type { RegistryHost } from '../oci/reference.ts';
import type { Registries, RegistryPorts } from './registries.ts';

/** What names are opened with. */
export interface StoresPorts extends Omit<RegistryPorts, 'onMirrorPassed' | 'onQuiet'> {
  /** What relative directories and files in names are relative to. */
  readonly workingDirectory: AbsPath;
  /** The layout that a bare tag is meant in. */
  readonly defaultLayout: AbsPath;
  /** Where a compressed archive has room to be decompressed; made when it is needed. */
  readonly scratch: AbsPath;
  /** Hears what is waited for, and with `debug` which mirrors were passed over. */
  readonly say: (text: string, level: 'warning' | 'info' | 'debug') => void;
}

export interface OpenOptions {
  /** `false` accepts any certificate of a registry, and plain http. */
  readonly tlsVerify?: boolean;
  /** `false` for a short look: garbage collection may go on. */
  readonly held?: boolean;
}

/** The store of a name, and what to ask it for. */
export interface OpenedName<S extends BlobStore = BlobStore> {
  readonly store: S;
  /** A tag or digest; `undefined` where the user named a layout, or an archive of several images, alone. */
  readonly reference: string | undefined;
  /** The tag to give a copy of it where the user names none. */
  readonly tag: string;
  /** With an absolute directory or file, and the default layout in place of a bare tag. */
  readonly name: Exclude<ImageName, { kind: 'tag' }>;
  /** As messages have it: as the user wrote it. */
  readonly text: string;
}

/**
 * Opens what names of images name. One object serves a process: what it learns of registries serves all later names. Scopes
 * that are given own what is opened; layouts are held against garbage collection until they end.
 */
export class ImageStores {
  readonly #ports: StoresPorts;
  #registries: Promise<Registries> | undefined;

  constructor(ports: StoresPorts) {
    this.#ports = ports;
  }

  /** Loaded at the first use: most commands talk to no registry. */
  registries(): Promise<Registries> {
    this.#registries ??= import('./registries.ts').then(({ Registries }) => {
      const { say } = this.#ports;
      return new Registries({
        ...this.#ports,
        onMirrorPassed: text => say(text, 'debug'),
        onQuiet: text => say(text, 'warning'),
      });
    });
    return this.#registries;
  }

  /** For reading. Throws `not-found`, `invalid-input`, and for a blocked registry `unauthorized`. */
  async open(name: ImageName, options: OpenOptions, scope: AsyncScope): Promise<OpenedName> {
    const text = formatImageName(name);
    if (name.kind === 'archive') return this.#openArchive(name, text, scope);
    if (name.kind === 'docker') {
      const store = await (await this.registries()).open(name, options.tlsVerify === false);
      return { store, ...describe(name, text) };
    }
    const layout = await this.openLayout(name);
    if (options.held !== false) await this.#hold(layout.store, scope);
    return layout;
  }

  /**
   * For reading what decides about something to be written, and for writing it. Of a registry that is the registry itself: a
   * mirror may be behind, and what it lacks would be overwritten. Throws as `open` does, `unsupported` for archives.
   */
  async openForChange(name: ImageName, options: OpenOptions, scope: AsyncScope): Promise<OpenedName> {
    if (name.kind === 'archive') {
      throw new StkError('unsupported', `${formatImageName(name)} is an archive, which is only read`, {
        hint: 'copy it into a layout first: stk publish ARCHIVE oci:DIR:TAG',
      });
    }
    if (name.kind !== 'docker') return this.open(name, options, scope);
    const store = await (await this.registries()).openItself(name, options.tlsVerify === false);
    return { store, ...describe(name, formatImageName(name)) };
  }

  /** A place to write to; a layout is made where there is none. Throws as `openForChange` does. */
  async openTarget(name: Exclude<ImageName, ArchiveName>, options: OpenOptions, scope: AsyncScope): Promise<BlobStore> {
    if (name.kind === 'docker') return (await this.openForChange(name, options, scope)).store;
    const layout = await LayoutStore.create(this.resolveDirectory(name).directory);
    await this.#hold(layout, scope);
    return layout;
  }

  /**
   * A layout, not held: for what reads a little, or holds it otherwise. Throws `usage` for names of images that lie elsewhere.
   * @param purpose such as `images run from a layout`, for that error
   */
  async openLayout(name: ImageName, purpose = 'an image of a layout is meant'): Promise<OpenedName<LayoutStore>> {
    assertInLayout(name, purpose);
    const local = this.resolveDirectory(name);
    return { store: await LayoutStore.open(local.directory), ...describe(local, formatImageName(name)) };
  }

  /** Every repository of a registry, or those below a path of it. */
  async repositories(host: RegistryHost, below: string | undefined, options: OpenOptions): Promise<readonly string[]> {
    return (await this.registries()).repositories(host, below, options.tlsVerify === false);
  }

  /** A name with its directory made absolute, and the default layout in place of a bare tag. */
  resolveDirectory(name: Extract<ImageName, { kind: 'oci' | 'tag' }>): LayoutName & { readonly directory: AbsPath } {
    const { workingDirectory, defaultLayout } = this.#ports;
    if (name.kind === 'oci') return { ...name, directory: absPath(name.directory, workingDirectory) };
    return { ...name, kind: 'oci', directory: defaultLayout };
  }

  async #openArchive(name: ArchiveName, text: string, scope: AsyncScope): Promise<OpenedName> {
    const { ImageArchive } = await import('../archive/image-archive.ts');
    const { workingDirectory, scratch, signal } = this.#ports;
    const file = absPath(name.file, workingDirectory);
    const store = scope.use(await ImageArchive.open(file, scratch, { signal }));
    const wanted = referenceOf(name);
    const tag = store.shortTag(wanted) ?? 'latest';
    return { store, reference: wanted ?? store.only(), tag, name: { ...name, file }, text };
  }

  async #hold(layout: LayoutStore, scope: AsyncScope): Promise<void> {
    const { signal, say } = this.#ports;
    const onWait = () => say('waiting for garbage collection to end', 'info');
    scope.use(await layout.lockBlobs('shared', { signal, onWait }));
  }
}

/** Throws `usage` for names of images that lie elsewhere than in a layout; see `ImageStores.openLayout`. */
export function assertInLayout(
  name: ImageName,
  purpose: string,
): asserts name is Extract<ImageName, { kind: 'oci' | 'tag' }> {
  if (name.kind !== 'docker' && name.kind !== 'archive') return;
  const text = formatImageName(name);
  throw new StkError('usage', `${text} is in ${name.kind === 'docker' ? 'a registry' : 'an archive'}, and ${purpose}`, {
    hint: `bring it first: stk convert ${text} oci:DIR:TAG`,
  });
}

function describe<N extends RegistryName | LayoutName>(name: N, text: string) {
  return { reference: referenceOf(name), tag: name.tag ?? 'latest', name, text };
}
