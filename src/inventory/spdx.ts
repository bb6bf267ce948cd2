import { textOfByteString } from '../core/host-text.ts';
import type { Inventory, InventoryPackage } from './inventory.ts';
import { imageUrl, packageUrl } from './purl.ts';
import { documentUuid, warningText, type SbomSubject } from './sbom-subject.ts';

const IMAGE = 'SPDXRef-image';
const NONE = 'NOASSERTION';

/** An inventory as SPDX 2.3 in JSON: the same inventory gives the same bytes. */
export function toSpdx(subject: SbomSubject, inventory: Inventory): string {
  const { release } = inventory;
  const created = `${new Date(subject.created).toISOString().slice(0, 19)}Z`;
  const tool = `Tool: stk-${subject.stkVersion}`;
  const packages = inventory.packages.map((found, index) => spdxPackage(found, index, packageUrl(found, release)));
  const system = release && {
    SPDXID: 'SPDXRef-os',
    name: release.id,
    ...(release.version ? { versionInfo: release.version } : {}),
    ...(release.title ? { description: release.title } : {}),
    ...unanalysed('OPERATING_SYSTEM'),
  };
  const image = {
    SPDXID: IMAGE,
    name: subject.name,
    versionInfo: subject.digest,
    ...unanalysed('CONTAINER'),
    checksums: [{ algorithm: 'SHA256', checksumValue: subject.digest.slice('sha256:'.length) }],
    ...purlReference(imageUrl(subject)),
  };
  const contained = [...(system ? [system] : []), ...packages];
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: subject.name,
    documentNamespace: `https://spdx.org/spdxdocs/stk-${documentUuid(subject, inventory, 'spdx')}`,
    creationInfo: { created, creators: [tool] },
    packages: [image, ...contained],
    relationships: [
      { spdxElementId: 'SPDXRef-DOCUMENT', relationshipType: 'DESCRIBES', relatedSpdxElement: IMAGE },
      ...contained.map(({ SPDXID }) => ({
        spdxElementId: IMAGE,
        relationshipType: 'CONTAINS',
        relatedSpdxElement: SPDXID,
      })),
    ],
    annotations: warningText(inventory).map(comment => ({
      annotationDate: created,
      annotationType: 'OTHER',
      annotator: tool,
      comment: `warning: ${comment}`,
    })),
  };
  return `${JSON.stringify(document, undefined, 1)}\n`;
}

function spdxPackage(found: InventoryPackage, index: number, purl: string | undefined) {
  const { name, group, version, licence, source, path, layer } = found;
  return {
    SPDXID: `SPDXRef-${found.type}-${index + 1}`,
    name: group === undefined ? name : `${group}:${name}`,
    ...(version ? { versionInfo: version } : {}),
    ...unanalysed('LIBRARY'),
    ...(licence ? { licenseComments: `stated as: ${licence}` } : {}),
    // As other tools have it, which read it from here.
    ...(source ? { sourceInfo: `built package from: ${source.name} ${source.version}` } : {}),
    comment: `found in /${textOfByteString(path)}, of layer ${layer}`,
    ...purlReference(purl),
  };
}

function unanalysed(purpose: string) {
  return {
    downloadLocation: NONE,
    filesAnalyzed: false,
    licenseConcluded: NONE,
    licenseDeclared: NONE,
    copyrightText: NONE,
    primaryPackagePurpose: purpose,
  };
}

function purlReference(purl: string | undefined) {
  if (purl === undefined) return {};
  return {
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}
