import { stateDirectories } from '../../../builder/state-directories.ts';
import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { defaultPackOptions, parseCompression } from '../../../layer/pack-options.ts';
import type { ManifestBytes } from '../../../oci/blob-store.ts';
import { LayoutStore, isLayout } from '../../../oci/layout.ts';
import { formatImageName } from '../../../oci/image-name.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { convertImage } from '../../../transfer/convert-image.ts';
import { convertToStore } from '../../../transfer/convert-to-store.ts';
import { parseTarget } from '../../../transfer/destination.ts';
import { LayerConverter } from '../../../sources/convert-layers.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { Session } from '../../session.ts';
import { holdCaches } from '../cache/hold-caches.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { openSessionUi } from '../build/build.ts';
import { imageReference } from '../../../stores/find-image.ts';
import { imageName } from '../images/image-names.ts';
import { requireSignature, type SignatureFlags } from '../signature/require-signature.ts';

export interface ConvertFlags extends SignatureFlags {
  readonly layerType: 'squashfs' | 'tar';
  readonly compression?: string;
  readonly verity: boolean;
  readonly platform?: string;
  readonly all?: boolean;
  readonly tlsVerify: boolean;
}

/**
 * `stk convert SRC DEST`. A layout gets squashfs layers directly; all else is converted in a layout of stk's own, which is
 * kept, so that the next time only new layers are converted.
 */
export async function runConvert(session: Session, from: string, to: string, flags: ConvertFlags): Promise<number> {
  if (flags.all && flags.platform !== undefined) throw new StkError('usage', '--all and --platform exclude each other');
  const packing = flags.compression === undefined ? defaultPackOptions : parseCompression(flags.compression);
  const wanted = imageName(from, flags);
  const { signal } = session;
  const scope = new AsyncScope();
  try {
    const source = await session.stores.open(wanted, flags, scope);
    const { text: name } = source;
    const reference = imageReference(source);
    const checked = await requireSignature(session, { name: source.name, store: source.store, reference }, flags);
    const target = parseTarget(to, source.tag);
    const destination = await session.stores.openTarget(target, flags, scope);
    await holdCaches(session);
    await using ui = openSessionUi(session);
    const state = stateDirectories(session.global.stkDir);
    // What is converted to tar passes through squashfs blobs of the source, which the destination shall not get.
    const isDirect = isLayout(destination) && flags.layerType === 'squashfs';
    const layout = isDirect ? destination : await LayoutStore.create(state.converted);
    if (layout !== destination) scope.use(await layout.lockBlobs('shared', { signal }));
    const records = new RecordCache(state.records);
    const converter = new LayerConverter({
      layout,
      records,
      packing: { ...packing, verity: flags.verity },
      keepTar: false,
      emit: ui.emit,
    });
    const platform = flags.all ? ('all' as const) : (wanted.platform ?? hostPlatform());
    const exact = wanted.platform !== undefined;
    const request = { name, to: flags.layerType, platform, exact, signal };
    const ports = { layout, records, converter, emit: ui.emit };
    const image = { store: source.store, reference: checked ?? reference };
    const { tag } = target;
    let converted: ManifestBytes;
    if (layout === destination) {
      converted = await convertImage(image.store, image.reference, request, ports);
      await layout.tag(converted.descriptor, tag ?? 'latest', signal);
    } else converted = await convertToStore(image, request, ports, { store: destination, tag });
    session.stdout.write(`${printableLine(formatImageName(target))} ${converted.descriptor.digest}\n`);
  } finally {
    await scope[Symbol.asyncDispose]();
  }
  return 0;
}
