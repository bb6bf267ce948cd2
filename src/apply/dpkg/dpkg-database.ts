import { fieldOf, isDamaged, splitStanzas, type Damage } from '../packages/stanzas.ts';

/** One instance of a package as `/var/lib/dpkg/status` tells of it. */
export interface PackageRecord {
  readonly name: string;
  readonly architecture: string;
  /** Empty where dpkg knows none. */
  readonly version: string;
  /** What is wanted, the error flag, the state. */
  readonly status: readonly [want: string, flag: string, state: string];
  /** Several architectures of it may be installed side by side. */
  readonly coinstallable: boolean;
  /** The stanza as it stands, ending in a newline. */
  readonly stanza: string;
}

/** Records by name and architecture, in file order. */
export type PackageDatabase = ReadonlyMap<string, PackageRecord>;

const FLAGS = new Set(['ok', 'reinstreq']);
const WANTS = new Set(['unknown', 'install', 'hold', 'deinstall', 'purge']);
const STATES = new Set([
  'not-installed',
  'config-files',
  'half-installed',
  'unpacked',
  'half-configured',
  'triggers-awaited',
  'triggers-pending',
  'installed',
]);

/** Reads a database of installed packages; what dpkg would refuse or misread is damage. */
export function parseDatabase(text: string): PackageDatabase | Damage {
  const stanzas = splitStanzas(text);
  if (isDamaged(stanzas)) return stanzas;
  const records = new Map<string, PackageRecord>();
  for (const stanza of stanzas) {
    const record = parseRecord(stanza);
    if (isDamaged(record)) return record;
    const key = instanceKey(record);
    if (records.has(key)) return { damage: `it has two stanzas of ${record.name}` };
    records.set(key, record);
  }
  return records;
}

/** One stanza. Only the fields that a merge steers by are looked at. */
export function parseRecord(stanza: string): PackageRecord | Damage {
  const name = fieldOf(stanza, 'Package');
  if (name === undefined || name === '') return { damage: 'a stanza names no package' };
  // What names a file in the database must not lead out of its directory.
  if (!/^[A-Za-z0-9][A-Za-z0-9+._-]*$/.test(name)) return { damage: 'a stanza has an impossible package name' };
  const architecture = fieldOf(stanza, 'Architecture') ?? '';
  if (!/^[a-z0-9-]*$/.test(architecture)) return { damage: `the stanza of ${name} has an impossible architecture` };
  const version = fieldOf(stanza, 'Version') ?? '';
  // Stanzas of images without dpkg say nothing of a state.
  const words = (fieldOf(stanza, 'Status') ?? 'install ok installed').split(/\s+/);
  const [want = '', flag = '', state = ''] = words;
  if (words.length !== 3 || !WANTS.has(want) || !FLAGS.has(flag) || !STATES.has(state)) {
    return { damage: `the stanza of ${name} has no proper status` };
  }
  if (version === '' && isPresent(state)) return { damage: `the stanza of ${name} has no version` };
  const coinstallable = fieldOf(stanza, 'Multi-Arch') === 'same';
  return { name, architecture, version, status: [want, flag, state], coinstallable, stanza };
}

/** Whether the files of a package in this state are there. */
export function isPresent(state: string): boolean {
  return state !== 'config-files' && state !== 'not-installed';
}

export function isInstalled(record: PackageRecord | undefined): record is PackageRecord {
  return record !== undefined && isPresent(record.status[2]);
}

/** Whether dpkg was interrupted while it worked on the package. */
export function isBroken({ status: [, flag, state] }: PackageRecord): boolean {
  return flag === 'reinstreq' || state === 'half-installed' || state === 'unpacked' || state === 'half-configured';
}

export function instanceKey({ name, architecture }: PackageRecord): string {
  return `${name}:${architecture}`;
}

/** The beginnings of the names of the package's files in `/var/lib/dpkg/info`, the usual one first. */
export function infoStems({ name, architecture, coinstallable }: PackageRecord): readonly string[] {
  const qualified = `${name}:${architecture}`;
  return coinstallable ? [qualified, name] : [name, qualified];
}

/** In dpkg's order of stanzas: by name, then architecture, bytes. */
export function compareRecords(a: PackageRecord, b: PackageRecord): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.architecture < b.architecture ? -1 : a.architecture > b.architecture ? 1 : 0;
}
