import { StkError } from '../../../core/errors.ts';
import type { LayoutStore } from '../../../oci/layout.ts';
import type { Session } from '../../session.ts';
import { openLocalImage } from './image-ref.ts';

/** An image of a layout as named for mounting: a whole image, no path in it. */
export async function openImage(
  session: Session,
  ref: string,
): Promise<{ readonly layout: LayoutStore; readonly tag: string }> {
  const { layout, tag, path } = await openLocalImage(session, ref);
  if (path === undefined) return { layout, tag };
  throw new StkError('usage', `an image is meant, not a path in it: ${ref}`, { hint: 'write TAG or oci:DIR:TAG' });
}
