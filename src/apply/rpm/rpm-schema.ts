import { DamagedDatabase, decodeRecord, type SqliteFile } from './rpm-sqlite-file.ts';

export interface RpmSchema {
  /** Where the table of headers begins. */
  readonly packagesRoot: number;
  /** Names of the tables that find headers by a tag, ascending. */
  readonly indexTables: readonly string[];
}

/** rpm makes about fifty tables and indexes. */
const MAX_OBJECTS = 200;
const PLAIN_INDEX = /^CREATE INDEX '?\w{1,64}'? ON '?\w{1,64}'?\s*\(\s*\w{1,64}(?: ASC)?\s*\)$/i;
/** What is computed when rows are read or written. */
const COMPUTES = /\b(?:CHECK|DEFAULT|GENERATED|AS|WHERE|COLLATE|VIRTUAL|WITHOUT)\b/i;
const PACKAGES =
  /^CREATE TABLE '?Packages'?\s*\(\s*hnum INTEGER PRIMARY KEY AUTOINCREMENT,\s*blob BLOB NOT NULL\s*\)$/i;
const INDEX_TABLE =
  /^CREATE TABLE '?\w{1,64}'?\s*\(\s*key '?(?:TEXT|BLOB)'? NOT NULL,\s*hnum INTEGER NOT NULL,\s*idx INTEGER NOT NULL\b/i;

/**
 * Reads the schema and walks the trees of everything in it. Throws where these are damaged, or where the schema has anything
 * that rpm does not make, such as triggers and expressions, which would run here.
 */
export function readRpmSchema(file: SqliteFile): RpmSchema {
  const seen = new Set<number>();
  const indexTables: string[] = [];
  const roots: number[] = [];
  let packagesRoot: number | undefined;
  for (const row of file.rows(1, seen)) {
    const [type, name, , root, sql] = decodeRecord(row.record());
    if (typeof type !== 'string' || typeof name !== 'string' || typeof root !== 'number' || typeof sql !== 'string') {
      throw unknownSchema();
    }
    const isPlain = type === 'index' ? PLAIN_INDEX.test(sql) : type === 'table' && !COMPUTES.test(sql);
    if (!isPlain || !/^\w{1,64}$/.test(name) || sql.length > 1000 || roots.length > MAX_OBJECTS) throw unknownSchema();
    roots.push(root);
    if (type === 'index' || name.startsWith('sqlite_')) continue;
    if (name === 'Packages' ? !PACKAGES.test(sql) : !INDEX_TABLE.test(sql)) throw unknownSchema();
    if (name === 'Packages') packagesRoot = root;
    else indexTables.push(name);
  }
  if (packagesRoot === undefined) throw unknownSchema();
  for (const root of roots) file.checkTree(root, seen);
  return { packagesRoot, indexTables: indexTables.toSorted() };
}

function unknownSchema(): DamagedDatabase {
  return new DamagedDatabase('its schema is not as rpm makes it');
}
