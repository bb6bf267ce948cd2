import type { Database, SqlJsStatic } from 'sql.js';
import { AsyncScope } from '../../core/async-scope.ts';
import { messageOf } from '../../core/errors.ts';

/** A package to be added, by its key in another database. */
export interface AddedPackage {
  /** Position in `others`. */
  readonly from: number;
  readonly number: number;
}

export interface RpmRewrite {
  /** The file to begin with. Files were read and found sound before. */
  readonly base: Buffer;
  /** Files that packages are added from; of the same schema. */
  readonly others: readonly Buffer[];
  readonly indexTables: readonly string[];
  /** Keys of packages of the base. */
  readonly removed: readonly number[];
  /** In the order in which they get new keys. */
  readonly added: readonly AddedPackage[];
}

/** Read and write versions of the file format: 1 is a rollback journal, 2 a write-ahead log. */
const JOURNAL_VERSIONS_AT = 18;

let loading: Promise<SqlJsStatic> | undefined;

function loadSql(): Promise<SqlJsStatic> {
  // A CommonJS module, which bundles import as `default`.
  loading ??= import('sql.js/dist/sql-wasm-inline.js').then(module => module.default());
  return loading;
}

/**
 * The base's file with packages removed and added, their rows in the tables that find them included. Says what SQLite found
 * wrong.
 */
export async function rewriteRpmDatabase(rewrite: RpmRewrite): Promise<Buffer | { readonly problem: string }> {
  const sql = await loadSql();
  await using scope = new AsyncScope();
  const open = (bytes: Buffer) => {
    const copy = Buffer.from(bytes);
    // In memory there is no write-ahead log; without one, both versions read the same.
    copy.fill(1, JOURNAL_VERSIONS_AT, JOURNAL_VERSIONS_AT + 2);
    const database = new sql.Database(copy);
    scope.defer(() => database.close());
    database.run('PRAGMA trusted_schema = OFF');
    return database;
  };
  try {
    const opened = new Map<number, Database>();
    const database = open(rewrite.base);
    database.run('BEGIN');
    for (const number of rewrite.removed) {
      for (const table of rewrite.indexTables) database.run(`DELETE FROM "${table}" WHERE hnum = ?`, [number]);
      database.run('DELETE FROM Packages WHERE hnum = ?', [number]);
    }
    for (const { from, number } of rewrite.added) {
      const source = opened.get(from) ?? open(rewrite.others[from]!);
      opened.set(from, source);
      copyPackage({ source, target: database, number, indexTables: rewrite.indexTables });
    }
    database.run('COMMIT');
    const bytes = Buffer.from(database.export());
    rewrite.base.copy(bytes, JOURNAL_VERSIONS_AT, JOURNAL_VERSIONS_AT, JOURNAL_VERSIONS_AT + 2);
    return bytes;
  } catch (error) {
    // SQLite's own complaints have no type of their own.
    return { problem: messageOf(error) };
  }
}

interface PackageCopy {
  readonly source: Database;
  readonly target: Database;
  readonly number: number;
  readonly indexTables: readonly string[];
}

function copyPackage({ source, target, number, indexTables }: PackageCopy): void {
  const blob = source.exec('SELECT blob FROM Packages WHERE hnum = ?', [number])[0]?.values[0]?.[0];
  if (!(blob instanceof Uint8Array)) throw new Error('a package is missing');
  target.run('INSERT INTO Packages (blob) VALUES (?)', [blob]);
  const assigned = target.exec('SELECT last_insert_rowid()')[0]!.values[0]![0]!;
  for (const table of indexTables) {
    // As bytes: names of files need not be UTF-8.
    const query = `SELECT typeof(key) = 'text', CAST(key AS BLOB), idx FROM "${table}" WHERE hnum = ? ORDER BY rowid`;
    const found = source.exec(query, [number])[0]?.values ?? [];
    if (found.length === 0) continue;
    const asText = target.prepare(`INSERT INTO "${table}" (key, hnum, idx) VALUES (CAST(? AS TEXT), ?, ?)`);
    const asBlob = target.prepare(`INSERT INTO "${table}" (key, hnum, idx) VALUES (?, ?, ?)`);
    for (const [isText, key, idx] of found) (isText === 1 ? asText : asBlob).run([key!, assigned, idx!]);
    asText.free();
    asBlob.free();
  }
}
