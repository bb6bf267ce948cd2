import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { BuiltImage } from './ports.ts';
import type { RecordCache } from './record-cache.ts';

export async function extractFromImage(
  image: BuiltImage,
  path: string,
  _ports: { layout: LayoutStore; records: RecordCache; store: AbsPath },
  _signal?: AbortSignal,
): Promise<AbsPath> {
  throw new StkError('unsupported', `cannot read ${image.name}${path}`);
}
