import { StkError } from '../../../core/errors.ts';
import type { AbsPath } from '../../../core/paths.ts';
import { formatImageName } from '../../../oci/image-name.ts';
import { parseTarget } from '../../../transfer/destination.ts';
import type { Session } from '../../session.ts';

/** Where a new image goes: `TAG` of the default layout, or `oci:DIR:TAG`. Throws `usage` and `invalid-input`. */
export function commitTarget({ stores }: Session, ref: string): { readonly directory: AbsPath; readonly tag: string } {
  const target = parseTarget(ref);
  if (target.kind === 'docker') {
    throw new StkError('usage', `${formatImageName(target)} is not an image of a layout`, {
      hint: 'commit into a layout, then publish it: stk publish',
    });
  }
  const { directory, tag = '' } = stores.resolveDirectory(target);
  return { directory, tag };
}
