import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { toCycloneDx } from './cyclonedx.ts';
import type { Inventory } from './inventory.ts';
import { imageUrl, packageUrl } from './purl.ts';
import type { SbomSubject } from './sbom-subject.ts';
import { toSpdx } from './spdx.ts';

const layer = digestOf('layer');
const at = { path: 'var/lib/dpkg/status', layer };
const inventory: Inventory = {
  release: { id: 'debian', version: '12', title: 'Debian GNU/Linux 12 (bookworm)' },
  packages: [
    {
      ...at,
      type: 'deb',
      name: 'libssl3',
      version: '1:3.0-1',
      architecture: 'amd64',
      source: { name: 'openssl', version: '1:3.0-1' },
    },
    { ...at, type: 'npm', name: '@a/b', version: '1.0.0', licence: 'MIT' },
    { ...at, type: 'npm', name: 'c', version: '', licence: 'own, see LICENSE' },
    { ...at, type: 'maven', name: 'x', version: '1' },
    { ...at, type: 'golang', name: 'example.org/lib', version: 'v1.2.3', path: 'opt/\u00e4\u00ff' },
  ],
  problems: [{ ...at, text: 'it is cut off' }],
};
const subject: SbomSubject = {
  name: 'team/app',
  digest: digestOf('manifest'),
  platform: { os: 'linux', architecture: 'amd64' },
  repository: 'registry.example/team/app',
  created: '2026-01-02T03:04:05.678Z',
  stkVersion: '0.1.0',
};

function read(file: string): object {
  return JSON.parse(readFileSync(file, 'utf8')) as object;
}

describe('an inventory', () => {
  it('is CycloneDX by its schema, always the same', () => {
    const text = toCycloneDx(subject, inventory);
    expect(toCycloneDx(subject, structuredClone(inventory))).toBe(text);
    const library = path.dirname(createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library/package.json'));
    // Copies name each other otherwise than their own names are.
    const schema = (name: string) =>
      JSON.parse(
        readFileSync(path.join(library, 'res/schema', `${name}.schema.json`), 'utf8').replaceAll('.SNAPSHOT.', '.'),
      ) as object;
    const ajv = new Ajv({ strict: false, validateFormats: false });
    ajv.addSchema([schema('spdx.SNAPSHOT'), schema('jsf-0.82.SNAPSHOT')]);
    const validate = ajv.compile(schema('bom-1.6.SNAPSHOT'));
    expect(validate(JSON.parse(text)), JSON.stringify(validate.errors)).toBe(true);
    expect(text).toContain('it is cut off');
    const [ssl] = (JSON.parse(text) as { components: { name: string; properties: object[] }[] }).components.filter(
      ({ name }) => name === 'libssl3',
    );
    expect(ssl?.properties).toContainEqual({ name: 'aquasecurity:trivy:SrcVersion', value: '3.0' });
  });

  it('is SPDX by its schema, always the same', () => {
    const text = toSpdx(subject, inventory);
    expect(toSpdx(subject, structuredClone(inventory))).toBe(text);
    const schema = read(path.resolve(import.meta.dirname, '../../test/fixtures/schemas/spdx-2.3.schema.json'));
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    expect(validate(JSON.parse(text)), JSON.stringify(validate.errors)).toBe(true);
    expect(text).toContain('warning: /var/lib/dpkg/status in layer');
  });

  it('of another image is another document', () => {
    const serial = (text: string) => /urn:uuid:[^"]+|spdxdocs[^"]+/.exec(text)?.[0];
    const other = { ...subject, digest: digestOf('other') };
    expect(serial(toCycloneDx(other, inventory))).not.toBe(serial(toCycloneDx(subject, inventory)));
    expect(serial(toSpdx(other, inventory))).not.toBe(serial(toSpdx(subject, inventory)));
  });
});

it.each([
  [0, 'pkg:deb/debian/libssl3@1:3.0-1?arch=amd64&distro=debian-12&upstream=openssl'],
  [1, 'pkg:npm/%40a/b@1.0.0'],
  [2, 'pkg:npm/c'],
  [3, 'pkg:maven/x/x@1'],
  [4, 'pkg:golang/example.org/lib@v1.2.3'],
])('package %d has its URL', (index, url) => {
  expect(packageUrl(inventory.packages[index]!, inventory.release)).toBe(url);
});

it.each([
  [
    { type: 'rpm', name: 'bash', version: '1:5.2-1.fc40', architecture: 'x86_64' } as const,
    'pkg:rpm/fedora/bash@5.2-1.fc40?arch=x86_64&distro=fedora-40&epoch=1',
  ],
  [
    { type: 'rpm', name: 'bash', version: '5.2-1', architecture: 'noarch' } as const,
    'pkg:rpm/fedora/bash@5.2-1?arch=noarch&distro=fedora-40',
  ],
])('an epoch of rpm stands beside the version', (found, url) => {
  expect(packageUrl(found, { id: 'fedora', version: '40' })).toBe(url);
});

it('an image has a URL', () => {
  const digest = subject.digest.replace(':', '%3A');
  expect(decodeURIComponent(imageUrl(subject)!)).toBe(
    decodeURIComponent(`pkg:oci/app@${digest}?arch=amd64&repository_url=registry.example/team/app`),
  );
});
