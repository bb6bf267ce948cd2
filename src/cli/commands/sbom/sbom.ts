import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { textOfByteString } from '../../../core/host-text.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { readInventory } from '../../../inventory/read-inventory.ts';
import { warningText } from '../../../inventory/sbom-subject.ts';
import { OpenLayers } from '../../../lazy/open-layers.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import type { FoundImage } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { OutputLines } from '../../ui/output-lines.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { quotedByteString } from '../../ui/quoted-name.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageName } from '../images/image-names.ts';
import { partCache } from './part-cache.ts';
import { formatSbom, sbomSubject } from './sbom-document.ts';

export interface SbomFlags extends ImageFlags {
  readonly format: 'cyclonedx' | 'spdx' | 'list';
  readonly layer?: string;
  readonly unowned?: boolean;
  readonly json?: boolean;
}

/** `stk sbom REF`: writes a bill of materials, or the packages or unowned paths as lines. */
export async function runSbom(session: Session, ref: string, flags: SbomFlags): Promise<number> {
  const name = imageName(ref, flags);
  await using scope = new AsyncScope();
  const image = await findNamed(session, name, flags, scope);
  const layers = wantedLayers(image, flags.layer);
  const { signal } = session;
  const inventory = await readInventory(layers, { store: image.store, cache: await partCache(session), signal });
  for (const warning of warningText(inventory)) session.stderr.write(`warning: ${printableLine(warning)}\n`);
  if (flags.unowned) await writeUnowned(session, { image, layers, inventory }, flags);
  else if (flags.format === 'list') await writeList(session, inventory, flags);
  else {
    const tag = image.reference.startsWith('sha256:') ? undefined : image.reference;
    const subject = sbomSubject(session, { ...image, tag });
    // One layer is a thing of its own, which is not its image.
    const part = layers === image.manifest.layers ? subject : { ...subject, digest: layers[0]!.digest };
    session.stdout.write(await formatSbom(flags.format, part, inventory));
  }
  return 0;
}

function wantedLayers({ manifest, name }: FoundImage, wanted: string | undefined): readonly Descriptor[] {
  const layers = wanted === undefined ? manifest.layers : [pickLayer(manifest.layers, wanted)];
  if (layers.every(layer => layerFormat(layer.mediaType).kind === 'squashfs')) return layers;
  throw new StkError('unsupported', `${name} has layers that are not squashfs`, {
    hint: `turn it into squashfs layers first: stk convert ${name} oci:DIR:TAG`,
  });
}

function pickLayer(layers: readonly Descriptor[], wanted: string): Descriptor {
  const byNumber = /^\d{1,3}$/.test(wanted) ? layers[Number(wanted) - 1] : undefined;
  const digest = wanted.startsWith('sha256:') ? wanted : `sha256:${wanted}`;
  const found = byNumber ? [byNumber] : layers.filter(layer => layer.digest.startsWith(digest));
  if (found.length === 1) return found[0]!;
  throw new StkError('not-found', `${found.length} layers of the image are called ${wanted}`, {
    hint: `they are: ${layers.map((layer, index) => `${index + 1} ${layer.digest.slice(7, 19)}`).join(', ')}`,
  });
}

async function writeList({ stdout }: Session, inventory: Inventory, { json }: SbomFlags): Promise<void> {
  const lines = new OutputLines(stdout);
  const { packageUrl } = await import('../../../inventory/purl.ts');
  for (const found of inventory.packages) {
    const { type, group, name, version, architecture, layer } = found;
    const full = group === undefined ? name : `${group}:${name}`;
    const words = [type, full, version, ...(architecture ? [architecture] : [])];
    const purl = packageUrl(found, inventory.release);
    const row = { type, name: full, version, architecture, purl, layer, path: `/${textOfByteString(found.path)}` };
    await lines.write(json ? jsonText(row) : printableLine(words.join(' ')));
  }
  await lines.flush();
}

interface ReadImage {
  readonly image: FoundImage;
  readonly layers: readonly Descriptor[];
  readonly inventory: Inventory;
}

async function writeUnowned(session: Session, { image, layers, inventory }: ReadImage, { json }: SbomFlags) {
  const { unownedPaths } = await import('../../../inventory/unowned-paths.ts');
  await using opened = new OpenLayers();
  const tree = await opened.stack(image.store, layers, session.signal);
  const lines = new OutputLines(session.stdout);
  for (const unowned of tree ? await unownedPaths(tree, inventory, session.signal) : []) {
    const shown = `/${unowned}`;
    await lines.write(json ? jsonText({ path: textOfByteString(shown) }) : quotedByteString(shown));
  }
  await lines.flush();
}
