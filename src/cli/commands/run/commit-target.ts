import { StkError } from '../../../core/errors.ts';
import { absPath, type AbsPath } from '../../../core/paths.ts';
import type { Session } from '../../session.ts';

/** `org.opencontainers.image.ref.name` (image-spec, annotations.md). */
const TAG = /^[A-Za-z0-9]+(?:(?:[-._:@/+]|--)[A-Za-z0-9]+)*$/;
const MAX_TAG_LENGTH = 255;

/** Where a new image goes: `TAG` of the default layout, or `oci:DIR:TAG`. Throws `usage`. */
export function parseCommitTarget(
  session: Session,
  ref: string,
): { readonly directory: AbsPath; readonly tag: string } {
  const [, named, tag = ref] = /^oci:([^:]*):(.*)$/s.exec(ref) ?? [];
  if (ref.startsWith('oci:') && !named) {
    throw new StkError('usage', `${shown(ref)} names no layout and tag`, { hint: 'write TAG or oci:DIR:TAG' });
  }
  if (/^[a-z-]+:\/\//.test(ref)) {
    throw new StkError('usage', `${shown(ref)} is not an image of a layout`, {
      hint: 'commit into a layout, then publish it: stk publish',
    });
  }
  // A layout's own grammar would take `:/`, which stk reads as the beginning of a path in an image.
  if (!TAG.test(tag) || tag.length > MAX_TAG_LENGTH || tag.includes(':/')) {
    throw new StkError('usage', `${shown(tag)} is no tag`, {
      hint: 'letters and digits, with single dots, dashes, underscores, colons or slashes between them',
    });
  }
  return { directory: named ? absPath(named, session.workingDirectory) : session.global.ociDir, tag };
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
