import { isDamaged } from '../apply/packages/stanzas.ts';
import { parseInstalled } from '../apply/apk/apk-records.ts';
import { isInstalled, parseDatabase, parseRecord, type PackageRecord } from '../apply/dpkg/dpkg-database.ts';
import { fieldOf } from '../apply/packages/stanzas.ts';
import { readRpmDatabase } from '../apply/rpm/rpm-database.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';

/** Whose database a package stands in; the type that package URLs have for it. */
export type PackageKind = 'deb' | 'apk' | 'rpm';

export interface InstalledPackage {
  readonly kind: PackageKind;
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** The package that it was built of, and that security trackers know; with its version. */
  readonly source: { readonly name: string; readonly version: string };
}

/** Packages by kind, name and architecture. */
export type PackageList = ReadonlyMap<string, InstalledPackage>;

/** One package in two lists; `undefined`: it is not in that one. */
export interface PackageChange {
  readonly name: string;
  readonly before: InstalledPackage | undefined;
  readonly after: InstalledPackage | undefined;
}

const MOST_DATABASE_BYTES = 64 * 1024 * 1024;

/** What the package databases of an image say is installed. A damaged database reads as none: nothing is decided by it. */
export async function readPackages(tree: LayerStack | undefined, signal?: AbortSignal): Promise<PackageList> {
  const packages = new Map<string, InstalledPackage>();
  if (!tree) return packages;
  const add = (one: InstalledPackage) => packages.set(`${one.kind} ${one.name} ${one.architecture}`, one);
  const dpkg = await readText(tree, 'var/lib/dpkg/status', signal);
  const database = dpkg === undefined ? undefined : parseDatabase(dpkg);
  if (database && !isDamaged(database)) for (const record of database.values()) addDebian(record, add);
  for await (const stanza of recordFiles(tree, 'var/lib/dpkg/status.d', signal)) {
    const record = parseRecord(stanza.endsWith('\n') ? stanza : `${stanza}\n`);
    if (!isDamaged(record)) addDebian(record, add, true);
  }
  const apk = await readText(tree, 'lib/apk/db/installed', signal);
  const installed = apk === undefined ? undefined : parseInstalled(apk);
  if (installed instanceof Map) for (const one of installed.values()) add(alpine(one.text));
  for (const path of ['usr/lib/sysimage/rpm/rpmdb.sqlite', 'var/lib/rpm/rpmdb.sqlite']) {
    const bytes = await readBytes(tree, path, signal);
    const rpm = bytes && readRpmDatabase(bytes);
    if (rpm && 'packages' in rpm) for (const { name, version } of rpm.packages) add(redHat(name, version));
  }
  return packages;
}

/** What differs between two lists, by name. */
export function packageChanges(before: PackageList, after: PackageList): readonly PackageChange[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])];
  return keys
    .filter(key => before.get(key)?.version !== after.get(key)?.version)
    .map(key => ({
      name: (after.get(key) ?? before.get(key))!.name,
      before: before.get(key),
      after: after.get(key),
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

function addDebian(record: PackageRecord, add: (one: InstalledPackage) => void, isListed = false): void {
  if (!isListed && !isInstalled(record)) return;
  const { name, version, architecture, stanza } = record;
  // `Source: openssl (3.0.15-1)` where name or version are others than the package's.
  const [, source = name, sourceVersion = version] =
    /^(\S+)(?:\s+\(([^)]+)\))?$/.exec(fieldOf(stanza, 'Source') ?? '') ?? [];
  add({ kind: 'deb', name, version, architecture, source: { name: source, version: sourceVersion } });
}

function alpine(record: string): InstalledPackage {
  const field = (letter: string) => new RegExp(`^${letter}:(.*)$`, 'm').exec(record)?.[1] ?? '';
  const [name, version] = [field('P'), field('V')];
  return { kind: 'apk', name, version, architecture: field('A'), source: { name: field('o') || name, version } };
}

function redHat(label: string, version: string): InstalledPackage {
  const dot = label.lastIndexOf('.');
  const [name, architecture] = dot < 0 ? [label, ''] : [label.slice(0, dot), label.slice(dot + 1)];
  return { kind: 'rpm', name, version, architecture, source: { name, version } };
}

async function* recordFiles(tree: LayerStack, directory: string, signal?: AbortSignal): AsyncGenerator<string> {
  const node = await tree.lookup(directory, signal);
  if (node?.inode.type !== 'directory') return;
  for await (const { name } of tree.readDirectory(node, signal)) {
    if (name.endsWith('.md5sums')) continue;
    const text = await readText(tree, `${directory}/${name}`, signal);
    if (text !== undefined) yield text;
  }
}

async function readText(tree: LayerStack, path: string, signal?: AbortSignal): Promise<string | undefined> {
  return (await readBytes(tree, path, signal))?.toString('latin1');
}

/** Through symbolic links, as programs would: databases have moved. */
async function readBytes(tree: LayerStack, path: string, signal?: AbortSignal): Promise<Buffer | undefined> {
  const node = (await tree.resolve(path, signal))?.node;
  if (node?.inode.type !== 'file' || node.inode.size > MOST_DATABASE_BYTES) return undefined;
  return tree.readFile(node, signal ? { signal } : {});
}
