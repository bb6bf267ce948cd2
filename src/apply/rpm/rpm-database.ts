import { createHash } from 'node:crypto';
import type { PackageState } from '../packages/package-choice.ts';
import { parseRpmHeader, type RpmHeader } from './rpm-header.ts';
import { readRpmSchema } from './rpm-schema.ts';
import { DamagedDatabase, SqliteFile, decodeRecord, type StoredRow } from './rpm-sqlite-file.ts';

/** A package and where it stands. */
export interface RpmPackage extends PackageState {
  /** Key of the header in its database. */
  readonly number: number;
  /** Name and architecture: what can be installed once only, as a rule. */
  readonly key: string;
}

/** What an `rpmdb.sqlite` says. */
export interface RpmDatabase {
  readonly packages: readonly RpmPackage[];
  /** Names of the tables that find headers by a tag, ascending. */
  readonly indexTables: readonly string[];
}

/** A database that has more is damaged. */
const MAX_PACKAGES = 100_000;

/** Reads the file; what is wrong with it is said where it is damaged or no such database. */
export function readRpmDatabase(bytes: Buffer): RpmDatabase | { readonly problem: string } {
  try {
    const file = new SqliteFile(bytes);
    const { packagesRoot, indexTables } = readRpmSchema(file);
    const packages: RpmPackage[] = [];
    for (const row of file.rows(packagesRoot, new Set())) {
      packages.push(readPackage(row));
      if (packages.length > MAX_PACKAGES) throw new DamagedDatabase(`it has more than ${MAX_PACKAGES} packages`);
    }
    return { packages, indexTables };
  } catch (error) {
    if (error instanceof DamagedDatabase) return { problem: error.message };
    throw error;
  }
}

function readPackage(row: StoredRow): RpmPackage {
  const blob = blobOf(row);
  const { name, architecture, version } = headerOf(blob);
  return {
    number: row.rowId,
    key: `${name}.${architecture}`,
    name: architecture === '' ? name : `${name}.${architecture}`,
    version,
    identity: createHash('sha256').update(blob).digest('hex'),
    // Read again when it is asked for, which is seldom, rather than kept.
    files: () => headerOf(blobOf(row)).files(),
  };
}

function blobOf(row: StoredRow): Buffer {
  const [, blob] = decodeRecord(row.record());
  if (!Buffer.isBuffer(blob)) throw new DamagedDatabase('a package of it has no header');
  return blob;
}

function headerOf(blob: Buffer): RpmHeader {
  const header = parseRpmHeader(blob);
  if (header === undefined) throw new DamagedDatabase('a package header of it is damaged');
  return header;
}
