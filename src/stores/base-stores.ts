import type { Digest } from '../core/digest.ts';
import { formatImageName, referenceOf, type StoredName } from '../oci/image-name.ts';
import { LayoutStore } from '../oci/layout.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import type { SignatureDemand } from '../signing/signature-demand.ts';
import type { OpenedImage, OpenImageStore } from '../sources/ports.ts';
import type { Registries } from './registries.ts';

/** Layers that the kernel may have though they were not packed here, and why. */
export type Vouched = Map<Digest, 'signed' | 'trusted'>;

export interface BaseStorePorts {
  /** Loaded at the first use. */
  readonly registries: () => Promise<Pick<Registries, 'open'>>;
  /** What images have to be signed as, opened with the first image; `undefined` where nothing is demanded. */
  readonly demand?: (() => Promise<SignatureDemand>) | undefined;
  /** Whether the configuration trusts an image of this name, see `formatImageName`. */
  readonly isTrusted: (name: string) => boolean;
  /** Receives the layers of images that a demanded signature covers, or that the configuration trusts. */
  readonly vouched?: Vouched | undefined;
}

/**
 * Opens the registries and layouts of images that a recipe stands on or applies. Where a signature is demanded, every image
 * is checked when it is opened, and then asked for by the digest that was checked.
 */
export function baseStores(ports: BaseStorePorts): OpenImageStore {
  let demand: Promise<SignatureDemand> | undefined;
  return async image => {
    const opened = await openUnchecked(ports, image);
    const name: StoredName =
      image.type === 'oci'
        ? { kind: 'oci', directory: image.directory, tag: image.tag }
        : parseRegistryReference(image.url);
    const trusted = ports.isTrusted(formatImageName(name)) ? 'trusted' : undefined;
    if (!ports.demand) return { ...opened, vouch: voucher(ports.vouched, trusted) };
    demand ??= ports.demand();
    const { digest, signatures } = await (await demand).check(opened.store, opened.reference, name);
    const why = signatures.length > 0 ? 'signed' : trusted;
    return { store: opened.store, reference: digest, vouch: voucher(ports.vouched, why) };
  };
}

function voucher(vouched: Vouched | undefined, why: 'signed' | 'trusted' | undefined): OpenedImage['vouch'] {
  if (!vouched || !why) return undefined;
  return layers => {
    for (const { digest } of layers) vouched.set(digest, why);
  };
}

async function openUnchecked(
  { registries }: BaseStorePorts,
  image: Parameters<OpenImageStore>[0],
): Promise<OpenedImage> {
  if (image.type === 'oci') return { store: await LayoutStore.open(image.directory), reference: image.tag };
  const name = parseRegistryReference(image.url);
  const store = await (await registries()).open(name, image.insecure);
  return { store, reference: referenceOf(name) ?? 'latest' };
}
