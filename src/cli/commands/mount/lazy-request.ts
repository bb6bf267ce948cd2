import { joinInside, type AbsPath } from '../../../core/paths.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import type { RegistryName } from '../../../oci/image-name.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { imageReference } from '../../../stores/find-image.ts';
import type { TarImage } from '../../../stores/lazy-image.ts';
import { userCacheDirectory } from '../../../stores/user-cache.ts';
import type { Session } from '../../session.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import type { LazyFlags } from './lazy-options.ts';
import { checkSignature, type SignatureFlags } from '../signature/require-signature.ts';

/** An image of a registry, ready to be mounted: signatures checked, layers to be fetched as they are read. */
export async function lazyRequest(
  session: Session,
  wanted: RegistryName,
  flags: LazyFlags & SignatureFlags & Pick<ImageFlags, 'tlsVerify'>,
) {
  const { openLazyImage } = await import('../../../stores/lazy-image.ts');
  const opened = await session.stores.open(wanted, flags, session.scope);
  const { store } = opened;
  const reference = imageReference(opened);
  const checked = await checkSignature(session, { name: wanted, store, reference }, flags);
  const { environment, scope, signal } = session;
  const { far, layout, tag, digest, name, warnings } = await openLazyImage(
    {
      name: wanted,
      store,
      reference: checked?.digest ?? reference,
      hostPlatform: hostPlatform(),
      insecure: flags.tlsVerify === false,
      requireLazy: flags.requireLazy === true,
      trace: flags.prefetch === 'off' ? false : flags.prefetch,
      complete: flags.complete === true,
      recordTo: flags.recordTo,
    },
    {
      registries: await session.stores.registries(),
      environment,
      cache: await lazyCacheDirectory(session),
      ...session.global.lazy,
      convert: image => convertTar(session, image),
      say: text => {
        if (session.global.progress !== 'quiet') session.stderr.write(`${text}\n`);
      },
      scope,
      signal,
    },
  );
  const image = { layout, tag, digest, far, imageName: name, imageWarnings: warnings };
  return { image, name: wanted, isSigned: (checked?.signatures.length ?? 0) > 0 };
}

/** As `stk convert` into the layout that what is fetched is kept in. */
async function convertTar(session: Session, { store, digest, platform, layout, name }: TarImage): Promise<Descriptor> {
  const { convertImage } = await import('../../../transfer/convert-image.ts');
  const { LayerConverter } = await import('../../../sources/convert-layers.ts');
  const { RecordCache } = await import('../../../sources/record-cache.ts');
  const { defaultPackOptions: packing } = await import('../../../layer/pack-options.ts');
  const records = new RecordCache(joinInside(await lazyCacheDirectory(session), 'records'));
  const emit = () => {};
  const converter = new LayerConverter({ layout, records, packing, keepTar: false, emit });
  const request = { name, to: 'squashfs', platform, signal: session.signal } as const;
  return (await convertImage(store, digest, request, { layout, records, converter, emit })).descriptor;
}

/** What is fetched for the user is kept with the user; what somebody else's home cannot take, in the build directory. */
async function lazyCacheDirectory({ environment, global }: Session): Promise<AbsPath> {
  return joinInside((await userCacheDirectory(environment)) ?? global.stkDir, 'lazy');
}
