import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { contentKey } from '../plan/content-key.ts';
import type { StackLayer } from '../sources/ports.ts';
import type { RecordCache } from '../sources/record-cache.ts';

/** What the last build made under a name of a recipe; images that are `build_only` have no tag that would say it. */
export interface LastBuilt {
  /** One for each layer type. */
  readonly manifests: readonly Descriptor[];
  /** Bottom up, in squashfs form whatever the layer types. */
  readonly layers: readonly StackLayer[];
}

/** Remembers what was built under a name. Writes nothing where that is known already. */
export async function rememberBuilt(
  records: RecordCache,
  name: string,
  { manifests, layers }: LastBuilt,
): Promise<void> {
  const value = JSON.parse(JSON.stringify({ manifests, layers })) as JsonValue;
  const known = await records.get('built', keyOf(name));
  if (known === undefined || canonicalJson(known) !== canonicalJson(value)) {
    await records.put('built', keyOf(name), value);
  }
}

/** What was built last under a name, if all of it is in the layout. */
export async function findBuilt(
  records: RecordCache,
  layout: LayoutStore,
  name: string,
): Promise<LastBuilt | undefined> {
  const value: unknown = await records.get('built', keyOf(name));
  if (typeof value !== 'object' || value === null || !('manifests' in value) || !('layers' in value)) return undefined;
  const built = value as LastBuilt;
  for (const blob of [...built.manifests, ...built.layers.map(({ squashfs }) => squashfs)]) {
    if (!(await layout.hasBlob(blob))) return undefined;
  }
  return built;
}

function keyOf(name: string) {
  return contentKey('built', undefined, name);
}
