import { ComponentType } from '@cyclonedx/cyclonedx-library/Enums';
import {
  Bom,
  Component,
  Metadata,
  NamedLicense,
  Property,
  PropertyRepository,
  SpdxLicense,
  Tools,
} from '@cyclonedx/cyclonedx-library/Models';
import { JSON as Normal, JsonSerializer } from '@cyclonedx/cyclonedx-library/Serialize';
import { isSupportedSpdxId } from '@cyclonedx/cyclonedx-library/SPDX';
import { Spec1dot6 } from '@cyclonedx/cyclonedx-library/Spec';
import { textOfByteString } from '../core/host-text.ts';
import type { FoundPackage } from './found-package.ts';
import type { Inventory, InventoryPackage } from './inventory.ts';
import { imageUrl, packageUrl } from './purl.ts';
import { documentUuid, warningText, type SbomSubject } from './sbom-subject.ts';

/** An inventory as CycloneDX 1.6 in JSON: the same inventory gives the same bytes. */
export function toCycloneDx(subject: SbomSubject, inventory: Inventory): string {
  const { release } = inventory;
  const url = imageUrl(subject);
  const tools = new Tools();
  const root = new Component(ComponentType.Container, subject.name, {
    version: subject.digest,
    bomRef: url ?? subject.digest,
    ...(url === undefined ? {} : { purl: url }),
  });
  const bom = new Bom({
    serialNumber: `urn:uuid:${documentUuid(subject, inventory, 'cyclonedx')}`,
    metadata: new Metadata({
      timestamp: new Date(subject.created),
      component: root,
      tools,
      properties: properties(warningText(inventory).map(text => ['dev.stk:warning', text])),
    }),
  });
  tools.components.add(new Component(ComponentType.Application, 'stk', { version: subject.stkVersion }));
  if (release) {
    const options = { bomRef: `os:${release.id}`, ...(release.version ? { version: release.version } : {}) };
    bom.components.add(
      new Component(ComponentType.OperatingSystem, release.id, {
        ...options,
        ...(release.title ? { description: release.title } : {}),
      }),
    );
  }
  const references = new Set<string>();
  for (const found of inventory.packages) {
    const purl = packageUrl(found, release);
    const stated = purl ?? `${found.type}:${found.name}@${found.version}`;
    let bomRef = stated;
    for (let again = 2; references.has(bomRef); again++) bomRef = `${stated}#${again}`;
    references.add(bomRef);
    bom.components.add(component(found, purl, bomRef));
  }
  const serializer = new JsonSerializer(new Normal.Normalize.Factory(Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 1 })}\n`;
}

function component(found: InventoryPackage, purl: string | undefined, bomRef: string): Component {
  const { source } = found;
  const made = new Component(ComponentType.Library, found.name, {
    version: found.version,
    bomRef,
    ...(found.group ? { group: found.group } : {}),
    ...(purl ? { purl } : {}),
    properties: properties([
      ['dev.stk:path', `/${textOfByteString(found.path)}`],
      ['dev.stk:layer', found.layer],
      ...(source ? sourceProperties(source) : []),
    ]),
  });
  if (found.licence) {
    const { licence } = found;
    made.licenses.add(isSupportedSpdxId(licence) ? new SpdxLicense(licence) : new NamedLicense(licence));
  }
  return made;
}

/** As Trivy writes them, which looks vulnerabilities of a distribution up by what a package was built from. */
function sourceProperties({ name, version }: NonNullable<FoundPackage['source']>) {
  const [, epoch, upstream, revision] = /^(?:(\d+):)?(.*?)(?:-([^-]*))?$/s.exec(version) ?? [];
  const values = { SrcName: name, SrcVersion: upstream, SrcRelease: revision, SrcEpoch: epoch };
  return Object.entries(values).flatMap(([key, value]): readonly [string, string][] =>
    value ? [[`aquasecurity:trivy:${key}`, value]] : [],
  );
}

function properties(pairs: readonly (readonly [name: string, value: string])[]): PropertyRepository {
  return new PropertyRepository(pairs.map(([name, value]) => new Property(name, value)));
}
