import { AsyncScope } from '../../../core/async-scope.ts';
import { absPath } from '../../../core/paths.ts';
import type { ImageState } from '../../../fleet/image-state.ts';
import { isWithout } from '../../../fleet/judge-findings.ts';
import { openVex, type VexStatement } from '../../../fleet/open-vex.ts';
import { writeFileAtomic } from '../../../host/atomic-write.ts';
import type { Inventory } from '../../../inventory/inventory.ts';
import { imageUrl, packageUrl } from '../../../inventory/purl.ts';
import { readInventory } from '../../../inventory/read-inventory.ts';
import { parseImageName } from '../../../oci/image-name.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { findManifest } from '../../../oci/resolve-image.ts';
import { parseEpoch } from '../build/build-options.ts';
import type { Session } from '../../session.ts';
import { partCache } from '../sbom/part-cache.ts';
import type { JudgedImage } from './judge-images.ts';

export interface VexOptions {
  /** Nothing was updated: what an update would do is told. */
  readonly isLook: boolean;
  readonly tlsVerify: boolean;
}

/** Writes what of the findings is fixed in the images as they are now, by their package databases, and what is not. */
export async function writeVex(
  session: Session,
  file: string,
  judged: readonly JudgedImage[],
  options: VexOptions,
): Promise<void> {
  await using scope = new AsyncScope();
  const statements: VexStatement[] = [];
  for (const one of judged)
    if (one.verdicts.length > 0) statements.push(...(await statementsOf(session, one, options, scope)));
  const epochSeconds = parseEpoch(session.environment['SOURCE_DATE_EPOCH']);
  const timestamp = new Date(epochSeconds === undefined ? Date.now() : epochSeconds * 1000).toISOString();
  await writeFileAtomic(
    absPath(file, session.workingDirectory),
    openVex(statements, `stk ${session.version}`, timestamp),
  );
}

async function statementsOf(
  session: Session,
  { image, verdicts }: JudgedImage,
  { isLook, tlsVerify }: VexOptions,
  scope: AsyncScope,
): Promise<readonly VexStatement[]> {
  const { store } = await session.stores.open(parseImageName(image.name), { tlsVerify }, scope);
  const reference = isLook ? image.digest : image.tag;
  const platform = image.platform ?? hostPlatform();
  const { descriptor, manifest } = await findManifest(store, reference, platform, { signal: session.signal });
  const isReadable = manifest.layers.every(({ mediaType }) => layerFormat(mediaType).kind === 'squashfs');
  const ports = { store, cache: await partCache(session), signal: session.signal };
  const inventory = isReadable ? await readInventory(manifest.layers, ports) : undefined;
  const product = productOf(image, descriptor.digest, platform);
  return verdicts.map(({ finding, isFixed, why }) => {
    const found = inventory?.packages.filter(({ name }) => name === finding.package) ?? [];
    const isGood = inventory && !isLook ? found.every(each => isWithout(each, finding)) : isFixed;
    const component = componentOf(inventory, found) ?? finding.purl;
    return {
      finding,
      status: isGood ? 'fixed' : 'affected',
      product,
      component,
      action: isGood ? undefined : actionOf(why),
    };
  });
}

function componentOf(inventory: Inventory | undefined, found: Inventory['packages']): string | undefined {
  return found[0] && packageUrl(found[0], inventory?.release);
}

function productOf(
  { store, tag }: ImageState,
  digest: ImageState['digest'],
  platform: NonNullable<ImageState['platform']>,
): string {
  const { place } = store;
  const isDocker = place.kind === 'docker';
  const name = isDocker ? place.repository : tag;
  const repository = isDocker ? `${place.host}/${place.repository}` : undefined;
  const subject = { name, digest, platform, repository, created: '', stkVersion: '' };
  return imageUrl(subject) ?? `pkg:oci/${encodeURIComponent(name)}@${encodeURIComponent(digest)}`;
}

function actionOf(why: string | undefined): string {
  return why === undefined ? 'No fixed version is available.' : `It stays: ${why}.`;
}
