import type { Database } from 'sql.js';

const PAGE_SIZE_AT = 16;
const FILE_HEADER_BYTES = 100;
const INTERIOR = 5;
const LEAF = 13;
/** rpm makes about fifty tables and indexes. */
const MAX_SCHEMA_PAGES = 64;

/**
 * Whether the table that holds the schema is a small tree (SQLite's file format, 1.6). SQLite reads all of it when it opens a
 * file, before anything can be checked, and a page that is its own descendant would keep it busy for ever.
 */
export function hasSoundSchema(bytes: Buffer): boolean {
  const stated = bytes.readUInt16BE(PAGE_SIZE_AT);
  const pageBytes = stated === 1 ? 65536 : stated;
  if (pageBytes < 512 || (pageBytes & (pageBytes - 1)) !== 0) return false;
  const seen = new Set<number>();
  const pending = [1];
  for (let page = pending.pop(); page !== undefined; page = pending.pop()) {
    const start = (page - 1) * pageBytes;
    if (page < 1 || seen.has(page) || seen.size >= MAX_SCHEMA_PAGES || start + pageBytes > bytes.length) return false;
    seen.add(page);
    const at = page === 1 ? start + FILE_HEADER_BYTES : start;
    const type = bytes.readUInt8(at);
    if (type === LEAF) continue;
    if (type !== INTERIOR) return false;
    pending.push(bytes.readUInt32BE(at + 8));
    const cells = bytes.readUInt16BE(at + 3);
    if (cells > MAX_SCHEMA_PAGES) return false;
    for (let i = 0; i < cells; i++) {
      const cell = bytes.readUInt16BE(at + 12 + i * 2);
      if (cell + 4 > pageBytes) return false;
      pending.push(bytes.readUInt32BE(start + cell));
    }
  }
  return true;
}

/** What is computed when rows are read or written. */
const COMPUTES = /\b(?:CHECK|DEFAULT|GENERATED|AS|WHERE|COLLATE|VIRTUAL)\b/i;
const PLAIN_INDEX = /^CREATE INDEX '?\w{1,64}'? ON '?\w{1,64}'?\s*\(\s*\w{1,64}(?: ASC)?\s*\)$/i;

/**
 * Names of the tables that find headers by a tag, ascending. Throws where the file's pages are damaged, or where the schema
 * has anything that rpm does not make, such as triggers and expressions, which would run here.
 */
export function checkSchema(database: Database): readonly string[] {
  database.run('PRAGMA trusted_schema = OFF');
  const tables: string[] = [];
  const [schema] = database.exec('SELECT type, name, rootpage, sql FROM sqlite_master');
  for (const [type, name, rootPage, sql] of schema?.values ?? []) {
    const isNamed = typeof name === 'string' && /^\w{1,64}$/.test(name);
    const isStored = typeof rootPage === 'number' && rootPage > 0 && typeof sql === 'string' && sql.length < 1000;
    const isPlain = isStored && (type === 'index' ? PLAIN_INDEX.test(sql) : type === 'table' && !COMPUTES.test(sql));
    if (!isNamed || !isPlain) throw new Error('its schema is not as rpm makes it');
    if (type === 'table' && name !== 'Packages' && !name.startsWith('sqlite_')) tables.push(name);
  }
  const [checked] = database.exec('PRAGMA quick_check(1)');
  if (checked?.values[0]?.[0] !== 'ok') throw new Error('its pages do not fit together');
  for (const table of ['Packages', ...tables]) {
    const [columns] = database.exec(`PRAGMA table_info("${table}")`);
    const names = columns?.values.map(([, name]) => name).join();
    if (names !== (table === 'Packages' ? 'hnum,blob' : 'key,hnum,idx')) {
      throw new Error(`its table ${table} is not as rpm makes it`);
    }
  }
  return tables.toSorted();
}
