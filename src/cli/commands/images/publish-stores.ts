import { stateDirectories } from '../../../builder/workspace.ts';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import {
  formatReference,
  parseLayoutReference,
  parseRegistryReference,
  showReference,
  type LayoutReference,
  type RegistryReference,
} from '../../../oci/reference.ts';
import type { Session } from '../../session.ts';

/** An image that a command reads. */
export interface SourceImage {
  readonly store: BlobStore;
  /** What to ask the store for; `undefined` where the user named a layout or an archive alone. */
  readonly reference: string | undefined;
  /** The tag to give a copy of it where the user names none. */
  readonly tag: string;
  /** As written in messages. */
  readonly name: string;
}

/**
 * Opens `docker://…`, `oci:DIR[:TAG]`, an archive (`FILE.tar[.gz|.zst]`, `docker-archive:FILE[:TAG]`, `oci-archive:…`), or a tag
 * of the default layout. Layouts are held against garbage collection until the scope ends.
 */
export async function openSource(
  session: Session,
  text: string,
  tlsVerify: boolean,
  scope: AsyncScope,
): Promise<SourceImage> {
  if (text.startsWith('docker://')) {
    const { openRegistry } = await import('./open-registry.ts');
    return registryImage(text, await openRegistry(session, text, !tlsVerify));
  }
  const archive =
    /^(?:docker-archive|oci-archive):([^:]+)(?::(.+))?$/.exec(text) ??
    /^([^:]+\.(?:tar(?:\.gz|\.zst)?|tgz))()$/.exec(text);
  if (archive) {
    const { ImageArchive } = await import('../../../archive/image-archive.ts');
    const [, file = '', reference] = archive;
    const call = { signal: session.signal };
    const { work } = stateDirectories(session.global.stkDir);
    const store = scope.use(await ImageArchive.open(absPath(file, session.workingDirectory), work, call));
    const wanted = reference === undefined || reference === '' ? undefined : reference;
    return { store, reference: wanted ?? store.only(), tag: store.shortTag(wanted) ?? 'latest', name: text };
  }
  const isLayout = text.startsWith('oci:');
  if (!isLayout && /^[a-z-]+:\/\//.test(text)) {
    throw new StkError('usage', `${showReference(text)} has no known transport`, {
      hint: 'write docker://HOST/REPOSITORY:TAG, oci:DIR:TAG, FILE.tar, or a tag of the layout',
    });
  }
  const { directory, tag } = isLayout ? parseLayoutReference(text) : { directory: undefined, tag: text };
  const path = directory === undefined ? session.global.ociDir : absPath(directory, session.workingDirectory);
  const store = await LayoutStore.open(path);
  await hold(session, store, scope);
  return { store, reference: tag, tag: tag ?? 'latest', name: text };
}

/**
 * As `openSource`, for an image whose tags or signatures are written by what is read of them. Of a registry that is the
 * registry itself: a mirror may be behind, and what it lacks would be overwritten.
 */
export async function openWritable(
  session: Session,
  text: string,
  tlsVerify: boolean,
  scope: AsyncScope,
): Promise<SourceImage> {
  if (!text.startsWith('docker://')) return openSource(session, text, tlsVerify, scope);
  const { openRegistryItself } = await import('./open-registry.ts');
  return registryImage(text, await openRegistryItself(session, text, !tlsVerify));
}

function registryImage(
  text: string,
  { store, reference }: { readonly store: BlobStore; readonly reference: string },
): SourceImage {
  return { store, reference, tag: parseRegistryReference(text).tag ?? 'latest', name: text };
}

/** Opens a place to write to; a layout is made where there is none, and held against garbage collection. */
export async function openTarget(
  session: Session,
  target: RegistryReference | LayoutReference,
  tlsVerify: boolean,
  scope: AsyncScope,
): Promise<BlobStore> {
  if (target.kind === 'docker') {
    const { openRegistryItself } = await import('./open-registry.ts');
    return (await openRegistryItself(session, formatReference(target), !tlsVerify)).store;
  }
  const layout = await LayoutStore.create(absPath(target.directory, session.workingDirectory));
  await hold(session, layout, scope);
  return layout;
}

async function hold(session: Session, layout: LayoutStore, scope: AsyncScope): Promise<void> {
  const onWait = () => void session.stderr.write('waiting for garbage collection to end\n');
  scope.use(await layout.lockBlobs('shared', { signal: session.signal, onWait }));
}
