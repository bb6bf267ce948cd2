import fc from 'fast-check';
import initSqlJs from 'sql.js';
import { describe, expect, it } from 'vitest';
import { rewriteRpmDatabase } from './rpm-rewrite.ts';
import { DamagedDatabase, SqliteFile, decodeRecord } from './rpm-sqlite-file.ts';

const sql = await initSqlJs();

/** A table `t(k INTEGER PRIMARY KEY, v BLOB)` and an index on it, as SQLite writes them. */
function makeDatabase(values: readonly Uint8Array[], pageBytes = 512): Buffer {
  const database = new sql.Database();
  database.run(`PRAGMA page_size = ${pageBytes}`);
  database.run('CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)');
  database.run('CREATE INDEX i ON t (v)');
  for (const value of values) database.run('INSERT INTO t (v) VALUES (?)', [value]);
  const bytes = Buffer.from(database.export());
  database.close();
  return bytes;
}

/** Everything that the schema names, and the values of the table. */
function readAll(bytes: Buffer): Buffer[] {
  const file = new SqliteFile(bytes);
  const seen = new Set<number>();
  const values: Buffer[] = [];
  for (const row of file.rows(1, seen)) {
    const [type, , , root] = decodeRecord(row.record());
    if (typeof root !== 'number') throw new DamagedDatabase('no root');
    if (type === 'index') file.checkTree(root, seen);
    else for (const stored of file.rows(root, seen)) values.push(decodeRecord(stored.record())[1] as Buffer);
  }
  return values;
}

describe('SqliteFile', () => {
  it.each([512, 4096, 65536])('reads what SQLite writes, in pages of %i bytes', pageBytes => {
    const blobs = fc.array(fc.uint8Array({ maxLength: 3 * 512 + 7 }), { maxLength: 60 });
    fc.assert(
      fc.property(blobs, fc.integer({ min: 0, max: 200_000 }), (values, large) => {
        const all = [...values, new Uint8Array(large)];
        const found = readAll(makeDatabase(all, pageBytes));
        expect(found.map(value => value.toString('hex'))).toEqual(all.map(value => Buffer.from(value).toString('hex')));
      }),
      { numRuns: 20 },
    );
  });

  it('finds pages that are their own descendants, and are used twice', () => {
    const bytes = makeDatabase(Array.from({ length: 300 }, (_, i) => Buffer.alloc(100, i)));
    let found = 0;
    for (let page = 1; page < bytes.length / 512; page++) {
      const type = bytes[page * 512];
      if (type !== 2 && type !== 5) continue;
      for (const target of [page + 1, 1, 0, 0xffffffff]) {
        const bad = Buffer.from(bytes);
        bad.writeUInt32BE(target, page * 512 + 8);
        expect(() => readAll(bad)).toThrow(DamagedDatabase);
        found++;
      }
    }
    expect(found).toBeGreaterThan(4);
  });

  it('never does anything but say that a file is damaged', () => {
    const bytes = makeDatabase([...Array.from({ length: 40 }, (_, i) => Buffer.alloc(i * 7, i)), Buffer.alloc(5000)]);
    let damaged = 0;
    for (let at = 0; at < bytes.length; at += 3) {
      for (const value of [0, 0x7f, 0xff]) {
        const bad = Buffer.from(bytes);
        bad[at] = value;
        try {
          readAll(bad);
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedDatabase);
          damaged++;
        }
      }
    }
    expect(damaged).toBeGreaterThan(100);
    for (let length = 0; length < bytes.length; length += 97) {
      expect(() => readAll(bytes.subarray(0, length))).toThrow(DamagedDatabase);
    }
  });
});

it.each([2 ** 31 + 12, 2 ** 32 - 2, 2 ** 32 + 12, 2 ** 42 - 2])(
  'a row with a value of type %i, then a number, is damaged',
  type => {
    const number = Array.from({ length: 6 }, (_, i) => (Math.floor(type / 128 ** (5 - i)) % 128) | (i < 5 ? 0x80 : 0));
    const row = Buffer.from([1 + number.length + 1, ...number, 4, 0, 0, 0, 1]);
    expect(() => decodeRecord(row)).toThrow(DamagedDatabase);
  },
);

describe('rewriteRpmDatabase', () => {
  const TABLES = `CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL);
    CREATE TABLE 'Basenames' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);
    CREATE INDEX 'Basenames_key_idx' ON 'Basenames'(key ASC);
    CREATE TABLE 'Sigmd5' (key 'BLOB' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);`;

  it('keeps names that are not UTF-8, and what is text and what is not', async () => {
    const database = new sql.Database();
    database.run(TABLES);
    const base = Buffer.from(database.export());
    database.run(`INSERT INTO Packages (blob) VALUES (x'00');
      INSERT INTO Basenames VALUES (CAST(x'ff666f6f' AS TEXT), 1, 0), ('bar', 1, 1); INSERT INTO Sigmd5 VALUES (x'ff00', 1, 0)`);
    const other = Buffer.from(database.export());
    const indexTables = ['Basenames', 'Sigmd5'];
    const added = [{ from: 0, number: 1 }];
    const merged = await rewriteRpmDatabase({ base, others: [other], indexTables, removed: [], added });
    if (!Buffer.isBuffer(merged)) throw new Error(merged.problem);
    const result = new sql.Database(merged);
    const listing = `SELECT typeof(key), hex(key), hnum, idx FROM Basenames UNION ALL SELECT typeof(key), hex(key), hnum, idx FROM Sigmd5`;
    expect(result.exec(listing)[0]?.values).toEqual([
      ['text', 'FF666F6F', 1, 0],
      ['text', '626172', 1, 1],
      ['blob', 'FF00', 1, 0],
    ]);
  });

  it('says what SQLite finds wrong', async () => {
    const base = makeDatabase([]);
    const rewrite = { base, others: [base], indexTables: [], removed: [1], added: [] };
    expect(await rewriteRpmDatabase(rewrite)).toMatchObject({ problem: expect.stringContaining('Packages') });
  });
});
