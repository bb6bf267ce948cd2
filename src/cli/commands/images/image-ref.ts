import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import type { Session } from '../../session.ts';

/** An image of a layout, and what follows its name. */
export interface LocalImageRef {
  readonly layout: LayoutStore;
  readonly tag: string;
  /** Path behind `REF:`, or `undefined`. */
  readonly path: string | undefined;
}

/**
 * Parses `TAG`, `TAG:/path`, `oci:DIR:TAG` or `oci:DIR:TAG:/path`. A path is what begins with `:/`; a tag may hold `:`.
 * Without a directory the default layout is meant.
 */
export async function openLocalImage(session: Session, text: string): Promise<LocalImageRef> {
  let directory = session.global.ociDir;
  let rest = text;
  if (rest.startsWith('oci:')) {
    const colon = rest.indexOf(':', 4);
    if (colon < 0) throw new StkError('usage', `${text} names no tag`, { hint: 'write oci:DIR:TAG' });
    directory = absPath(rest.slice(4, colon), session.workingDirectory);
    rest = rest.slice(colon + 1);
  }
  if (/^[a-z-]+:\/\//.test(rest)) {
    throw new StkError('usage', `${text} is not an image of a layout`, { hint: 'write TAG or oci:DIR:TAG' });
  }
  const at = rest.indexOf(':/');
  const tag = at < 0 ? rest : rest.slice(0, at);
  if (tag === '') throw new StkError('usage', `${text} names no image`, { hint: 'write TAG or oci:DIR:TAG' });
  return { layout: await LayoutStore.open(directory), tag, path: at < 0 ? undefined : rest.slice(at + 1) };
}
