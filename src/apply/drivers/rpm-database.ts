import { createHash } from 'node:crypto';
import type { Database, SqlJsStatic } from 'sql.js';
import { messageOf } from '../../core/errors.ts';
import type { PackageState } from './package-choice.ts';
import { parseRpmHeader } from './rpm-header.ts';
import { checkSchema, hasSoundSchema } from './rpm-schema.ts';

/** A package and where it stands. */
export interface RpmPackage extends PackageState {
  readonly source: RpmDatabase;
  /** Key of the header in its database. */
  readonly number: number;
  /** Name and architecture: what can be installed once only, as a rule. */
  readonly key: string;
}

const MAGIC = 'SQLite format 3\0';
/** Read and write versions of the file format: 1 is a rollback journal, 2 a write-ahead log. */
const JOURNAL_VERSIONS_AT = 18;
/** A header that is larger is damaged: rpm itself refuses it. */
const MAX_HEADERS = 100_000;

let loading: Promise<SqlJsStatic> | undefined;

function loadSql(): Promise<SqlJsStatic> {
  // A CommonJS module, which bundles import as `default`.
  loading ??= import('sql.js/dist/sql-wasm-inline.js').then(module => module.default());
  return loading;
}

/** An `rpmdb.sqlite` in memory; dispose of it. */
export class RpmDatabase implements Disposable {
  readonly #database: Database;
  readonly #journalVersions: Buffer;
  /** Names of the tables that find headers by a tag. */
  readonly #indexTables: readonly string[];
  readonly packages: readonly RpmPackage[];

  private constructor(database: Database, journalVersions: Buffer) {
    this.#database = database;
    this.#journalVersions = journalVersions;
    this.#indexTables = checkSchema(database);
    this.packages = this.#readPackages();
  }

  /** Opens a copy of the file's bytes. What is wrong with it is said where it is damaged or no such database. */
  static async open(bytes: Buffer): Promise<RpmDatabase | { readonly problem: string }> {
    if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC || bytes.length < 512) {
      return { problem: 'it is no SQLite database' };
    }
    if (!hasSoundSchema(bytes)) return { problem: 'its schema is damaged' };
    const sql = await loadSql();
    const journalVersions = Buffer.from(bytes.subarray(JOURNAL_VERSIONS_AT, JOURNAL_VERSIONS_AT + 2));
    const copy = Buffer.from(bytes);
    // In memory there is no write-ahead log; without one, both versions read the same.
    copy.fill(1, JOURNAL_VERSIONS_AT, JOURNAL_VERSIONS_AT + 2);
    const database = new sql.Database(copy);
    try {
      return new RpmDatabase(database, journalVersions);
    } catch (error) {
      database.close();
      return { problem: messageOf(error) };
    }
  }

  /** Whether the other database finds headers by the same tags, so that rows can be copied. */
  isAlike(other: RpmDatabase): boolean {
    return this.#indexTables.join() === other.#indexTables.join();
  }

  /**
   * The file with exactly these packages, which may be of other databases that are alike. What this one has keeps its
   * number; others are added in their order. Nothing else can be asked of this one afterwards.
   */
  withPackages(packages: readonly RpmPackage[]): Buffer | { readonly problem: string } {
    try {
      return this.#become(packages);
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  #become(packages: readonly RpmPackage[]): Buffer {
    const database = this.#database;
    const kept = new Set(packages.filter(({ source }) => source === this).map(({ number }) => number));
    const removed = this.packages.filter(({ number }) => !kept.has(number));
    const added = packages.filter(({ source }) => source !== this);
    database.run('BEGIN');
    for (const { number } of removed) {
      for (const table of this.#indexTables) database.run(`DELETE FROM "${table}" WHERE hnum = ?`, [number]);
      database.run('DELETE FROM Packages WHERE hnum = ?', [number]);
    }
    for (const { source, number } of added) this.#copyPackage(source, number);
    database.run('COMMIT');
    const bytes = Buffer.from(database.export());
    this.#journalVersions.copy(bytes, JOURNAL_VERSIONS_AT);
    return bytes;
  }

  #copyPackage(source: RpmDatabase, number: number): void {
    const [blob] = source.#database.exec('SELECT blob FROM Packages WHERE hnum = ?', [number]);
    this.#database.run('INSERT INTO Packages (blob) VALUES (?)', [blob!.values[0]![0]!]);
    const [row] = this.#database.exec('SELECT last_insert_rowid()');
    const assigned = row!.values[0]![0]!;
    for (const table of this.#indexTables) {
      const found = source.#database.exec(`SELECT key, idx FROM "${table}" WHERE hnum = ? ORDER BY rowid`, [number]);
      const insert = this.#database.prepare(`INSERT INTO "${table}" (key, hnum, idx) VALUES (?, ?, ?)`);
      for (const [key, idx] of found[0]?.values ?? []) insert.run([key!, assigned, idx!]);
      insert.free();
    }
  }

  #readPackages(): readonly RpmPackage[] {
    const [counted] = this.#database.exec('SELECT count(*) FROM Packages');
    if (Number(counted?.values[0]?.[0]) > MAX_HEADERS) throw new Error(`it has more than ${MAX_HEADERS} packages`);
    const packages: RpmPackage[] = [];
    const rows = this.#database.prepare('SELECT hnum, blob FROM Packages ORDER BY hnum');
    try {
      while (rows.step()) {
        const [number, blob] = rows.get();
        const header = blob instanceof Uint8Array ? parseRpmHeader(blob) : undefined;
        if (header === undefined || !(blob instanceof Uint8Array) || typeof number !== 'number') {
          throw new Error('a package header is damaged');
        }
        packages.push({
          source: this,
          number,
          key: `${header.name}.${header.architecture}`,
          name: header.architecture === '' ? header.name : `${header.name}.${header.architecture}`,
          version: header.version,
          identity: createHash('sha256').update(blob).digest('hex'),
          files: () => header.files(),
        });
      }
    } finally {
      rows.free();
    }
    return packages;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
