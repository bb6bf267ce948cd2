import type { AppliedEntry } from '../oci/layer-annotations.ts';
import { withRole } from '../sources/layer-descriptor.ts';
import type { StoredImage } from './update-plan.ts';
import { splitImage } from './update-segments.ts';

/**
 * The very image that an entry applied, as far as a merge needs it, out of the layers of the image that applies it: its own
 * place need not be asked, and may be gone. `undefined` where the entry does not say how it lies there, or says what is
 * not so. Throws as `splitImage` does.
 */
export function heldImage(image: StoredImage, entry: AppliedEntry): StoredImage | undefined {
  const { held } = entry;
  if (held === undefined) return undefined;
  const { base, applied } = splitImage(image.manifest, image.config, image.name);
  if (held.shared > base.length) return undefined;
  const known = new Map([...base, ...applied].map(layer => [layer.descriptor.digest, layer]));
  const own = held.own.map(digest => known.get(digest));
  if (own.some(layer => layer === undefined)) return undefined;
  const layers = [...base.slice(0, held.shared), ...own.flatMap(layer => layer ?? [])];
  const created = own.at(-1)?.history.created;
  const role = (index: number) => (index < held.shared ? 'base' : 'run');
  return {
    store: image.store,
    name: entry.name,
    descriptor: { ...image.descriptor, digest: entry.digest },
    manifest: {
      schemaVersion: 2,
      config: image.manifest.config,
      layers: layers.map(({ descriptor }, index) => withRole(descriptor, role(index))),
    },
    config: {
      os: image.config.os,
      architecture: image.config.architecture,
      ...(image.config.variant === undefined ? {} : { variant: image.config.variant }),
      ...(created === undefined ? {} : { created }),
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(({ history }) => history),
    },
  };
}
