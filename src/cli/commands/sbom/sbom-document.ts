import type { Inventory } from '../../../inventory/inventory.ts';
import type { SbomSubject } from '../../../inventory/sbom-subject.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { ResolvedImage } from '../../../oci/resolve-image.ts';
import type { Session } from '../../session.ts';

export type SbomFormat = 'cyclonedx' | 'spdx';

/** The document of an inventory; the same inventory gives the same text. */
export async function formatSbom(format: SbomFormat, subject: SbomSubject, inventory: Inventory): Promise<string> {
  if (format === 'spdx') return (await import('../../../inventory/spdx.ts')).toSpdx(subject, inventory);
  return (await import('../../../inventory/cyclonedx.ts')).toCycloneDx(subject, inventory);
}

/** What the bill of materials of a whole image is about. */
export function sbomSubject(
  { version }: Pick<Session, 'version'>,
  image: Pick<ResolvedImage, 'descriptor' | 'config'> & { readonly store: BlobStore; readonly tag: string | undefined },
): SbomSubject {
  const { place } = image.store;
  const { os, architecture, created = '1970-01-01T00:00:00Z' } = image.config;
  return {
    name: place.kind === 'docker' ? place.repository : (image.tag ?? 'image'),
    digest: image.descriptor.digest,
    platform: { os, architecture },
    repository: place.kind === 'docker' ? `${place.host}/${place.repository}` : undefined,
    created,
    stkVersion: version,
  };
}
