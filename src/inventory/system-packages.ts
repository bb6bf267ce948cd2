import { parseInstalled } from '../apply/apk/apk-records.ts';
import { isPresent, parseRecord } from '../apply/dpkg/dpkg-database.ts';
import { fieldOf, isDamaged, splitStanzas } from '../apply/packages/stanzas.ts';
import { readRpmDatabase } from '../apply/rpm/rpm-database.ts';
import { plainText, type FoundPackage, type OsRelease, type PackageSource } from './found-package.ts';

/** What is read of a file. Texts are byte strings where the file is. */
export type Findings = Omit<PackageSource, 'path'>;

const MOST_PACKAGES = 100_000;

/** dpkg's `status`, or a file of `status.d`: what dpkg would refuse is passed over, and told. */
export function readDpkgStatus(text: string): Findings {
  const whole = splitStanzas(text);
  let problem = isDamaged(whole) ? whole.damage : undefined;
  const stanzas = isDamaged(whole) ? text.split(/\n{2,}/) : whole;
  const packages: FoundPackage[] = [];
  for (const stanza of stanzas) {
    if (stanza.trim() === '') continue;
    const record = parseRecord(stanza);
    if (isDamaged(record)) problem ??= record.damage;
    else if (isPresent(record.status[2]) && packages.length < MOST_PACKAGES) {
      const { name, version, architecture } = record;
      packages.push({ type: 'deb', name, version, architecture, source: dpkgSource(stanza, name, version) });
    }
  }
  return { packages, ...(problem === undefined ? {} : { problem }) };
}

/** `Source: NAME` or `NAME (VERSION)`, where they are not the package's own (deb-control(5)). */
function dpkgSource(stanza: string, name: string, version: string): NonNullable<FoundPackage['source']> {
  const [, source, sourceVersion] = /^(\S+)(?:\s+\(([^)]+)\))?/.exec(fieldOf(stanza, 'Source') ?? '') ?? [];
  return { name: source ?? name, version: sourceVersion ?? version };
}

/** apk's `installed`. Of a damaged one, the records that are whole. */
export function readApkInstalled(text: string): Findings {
  const parsed = parseInstalled(text);
  if (!('problem' in parsed)) return { packages: [...parsed.values()].map(({ text: record }) => apkPackage(record)!) };
  const packages = text
    .split(/\n{2,}/)
    .slice(0, MOST_PACKAGES)
    .flatMap(record => apkPackage(record) ?? []);
  return { packages, problem: parsed.problem };
}

function apkPackage(record: string): FoundPackage | undefined {
  const fields = new Map<string, string>();
  for (const line of record.split('\n')) {
    if (/^[PVAoL]:/.test(line) && !fields.has(line[0]!)) fields.set(line[0]!, plainText(line.slice(2)));
  }
  const [name, version] = [fields.get('P'), fields.get('V')];
  if (!name || !version) return undefined;
  const [architecture, licence] = [fields.get('A'), fields.get('L')];
  return {
    type: 'apk',
    name,
    version,
    ...(architecture ? { architecture } : {}),
    source: { name: fields.get('o') ?? name, version },
    ...(licence ? { licence } : {}),
  };
}

/** `rpmdb.sqlite`. Imported keys, which rpm keeps among the packages, are none. */
export function readRpmPackages(bytes: Buffer): Findings {
  const database = readRpmDatabase(bytes);
  if ('problem' in database) return { packages: [], problem: database.problem };
  const packages = database.packages.flatMap(({ key, version }): readonly FoundPackage[] => {
    const dot = key.lastIndexOf('.');
    const [name, architecture] = [key.slice(0, dot), key.slice(dot + 1)];
    return name === 'gpg-pubkey' ? [] : [{ type: 'rpm', name, version, ...(architecture ? { architecture } : {}) }];
  });
  return { packages };
}

/** os-release(5): assignments of a shell, quoted or not. */
export function readOsRelease(text: string): Findings {
  const values = new Map<string, string>();
  for (const line of text.split('\n').slice(0, 1000)) {
    const [, name, value = ''] = /^(ID|VERSION_ID|PRETTY_NAME)=(.*)$/.exec(line) ?? [];
    if (name) values.set(name, plainText(value.replace(/^(["'])(.*)\1\s*$/, '$2').replace(/\\(.)/g, '$1')));
  }
  const [version, title] = [values.get('VERSION_ID'), values.get('PRETTY_NAME')];
  const release: OsRelease = {
    id: values.get('ID') ?? 'linux',
    ...(version ? { version } : {}),
    ...(title ? { title } : {}),
  };
  return { packages: [], release };
}
