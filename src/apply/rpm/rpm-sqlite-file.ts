/** A row of a table, as it lies in the file. */
export interface StoredRow {
  readonly rowId: number;
  /** The record: header and values. */
  record(): Buffer;
}

/** What is wrong with a file. */
export class DamagedDatabase extends Error {}

const MAGIC = 'SQLite format 3\0';
const FILE_HEADER_BYTES = 100;
const MAX_DEPTH = 20;

const TABLE_INTERIOR = 5;
const TABLE_LEAF = 13;
const INDEX_INTERIOR = 2;
const INDEX_LEAF = 10;

/** Where a cell's payload begins, how long it is, and how much of it lies in the page. */
interface Payload {
  readonly at: number;
  readonly sizeBytes: number;
  readonly localBytes: number;
}

/**
 * The b-trees of an SQLite database file (SQLite's "Database File Format", 1.5 and 1.6), read without SQLite. SQLite itself
 * can be kept busy for ever by pages that are each other's children, and by sizes that are lies; this finds both. Every
 * method throws `DamagedDatabase`.
 */
export class SqliteFile {
  readonly #bytes: Buffer;
  readonly #pageBytes: number;
  /** Bytes of a page without those that extensions reserve. */
  readonly #usableBytes: number;

  constructor(bytes: Buffer) {
    if (bytes.length < 512 || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
      throw new DamagedDatabase('it is no SQLite database');
    }
    const stated = bytes.readUInt16BE(16);
    this.#bytes = bytes;
    this.#pageBytes = stated === 1 ? 65536 : stated;
    this.#usableBytes = this.#pageBytes - bytes[20]!;
    const isPower = (this.#pageBytes & (this.#pageBytes - 1)) === 0;
    if (this.#pageBytes < 512 || !isPower || this.#usableBytes < 480)
      throw new DamagedDatabase('its page size is wrong');
    // Text as UTF-8, and no pages that move by themselves: as rpm makes it.
    if (bytes.readUInt32BE(56) > 1 || bytes.readUInt32BE(52) !== 0) {
      throw new DamagedDatabase('it is not as rpm makes it');
    }
  }

  /** Rows of the table whose tree begins at a page. `seen` collects the pages of all trees that were walked. */
  *rows(root: number, seen: Set<number>): Generator<StoredRow, void, undefined> {
    for (const { rowId, payload } of this.#cells(root, seen)) {
      if (rowId !== undefined) yield { rowId, record: () => this.#read(payload) };
    }
  }

  /** Walks a tree to its end. Throws where it is none, or shares pages with those that were walked before. */
  checkTree(root: number, seen: Set<number>): void {
    for (const { payload } of this.#cells(root, seen)) void payload;
  }

  *#cells(
    root: number,
    seen: Set<number>,
  ): Generator<{ readonly rowId: number | undefined; readonly payload: Payload }, void, undefined> {
    const pending = [{ page: root, depth: 0 }];
    for (let next = pending.pop(); next; next = pending.pop()) {
      const { page, depth } = next;
      const start = this.#enter(page, seen);
      const head = page === 1 ? start + FILE_HEADER_BYTES : start;
      const type = this.#bytes[head]!;
      const isInterior = type === TABLE_INTERIOR || type === INDEX_INTERIOR;
      if ((!isInterior && type !== TABLE_LEAF && type !== INDEX_LEAF) || depth > MAX_DEPTH) {
        throw new DamagedDatabase('a page of it is no part of a tree');
      }
      const count = this.#bytes.readUInt16BE(head + 3);
      const pointers = head + (isInterior ? 12 : 8);
      if (pointers + count * 2 > start + this.#pageBytes) throw new DamagedDatabase('a page of it is damaged');
      // From the last to the first, since what is pushed last is looked at first.
      if (isInterior) pending.push({ page: this.#bytes.readUInt32BE(head + 8), depth: depth + 1 });
      for (let i = count - 1; i >= 0; i--) {
        const cell = start + this.#bytes.readUInt16BE(pointers + i * 2);
        if (cell + 4 > start + this.#usableBytes) throw new DamagedDatabase('a page of it is damaged');
        if (isInterior) pending.push({ page: this.#bytes.readUInt32BE(cell), depth: depth + 1 });
      }
      if (type === TABLE_INTERIOR) continue;
      for (let i = 0; i < count; i++) {
        const cell = start + this.#bytes.readUInt16BE(pointers + i * 2);
        yield this.#cell(cell + (isInterior ? 4 : 0), start, type === TABLE_LEAF, seen);
      }
    }
  }

  #cell(at: number, pageStart: number, isTable: boolean, seen: Set<number>) {
    const size = this.#varint(at);
    const key = isTable ? this.#varint(size.end) : undefined;
    const from = key?.end ?? size.end;
    const usable = this.#usableBytes;
    const most = isTable ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
    const least = Math.floor(((usable - 12) * 32) / 255) - 23;
    const spilled = least + ((size.value - least) % (usable - 4));
    const localBytes = size.value <= most ? size.value : spilled <= most ? spilled : least;
    if (size.value > this.#bytes.length || from + localBytes > pageStart + usable) {
      throw new DamagedDatabase('a row of it is longer than the file');
    }
    const payload: Payload = { at: from, sizeBytes: size.value, localBytes };
    for (const page of this.#overflow(payload)) this.#enter(page, seen);
    return { rowId: key?.value, payload };
  }

  /** Pages that hold the rest of a payload, as many as its size says. */
  *#overflow({ at, sizeBytes, localBytes }: Payload): Generator<number, void, undefined> {
    let pointer = at + localBytes;
    for (let left = sizeBytes - localBytes; left > 0; left -= this.#usableBytes - 4) {
      if (pointer + 4 > this.#bytes.length) throw new DamagedDatabase('a row of it is cut off');
      const page = this.#bytes.readUInt32BE(pointer);
      yield page;
      pointer = (page - 1) * this.#pageBytes;
    }
  }

  /** Position of a page that was not seen before. */
  #enter(page: number, seen: Set<number>): number {
    const start = (page - 1) * this.#pageBytes;
    if (page < 1 || start + this.#pageBytes > this.#bytes.length) throw new DamagedDatabase('it is cut off');
    if (seen.has(page)) throw new DamagedDatabase('a page of it is used twice');
    seen.add(page);
    return start;
  }

  #read(payload: Payload): Buffer {
    const { at, sizeBytes, localBytes } = payload;
    const parts = [this.#bytes.subarray(at, at + localBytes)];
    let left = sizeBytes - localBytes;
    for (const page of this.#overflow(payload)) {
      const start = (page - 1) * this.#pageBytes + 4;
      parts.push(this.#bytes.subarray(start, start + Math.min(left, this.#usableBytes - 4)));
      left -= this.#usableBytes - 4;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** Big-endian, seven bits a byte. Larger numbers than JavaScript has exactly are wrong anyway here. */
  #varint(at: number): { readonly value: number; readonly end: number } {
    let value = 0;
    for (let i = 0; i < 8; i++) {
      const byte = this.#bytes[at + i];
      if (byte === undefined) break;
      value = value * 128 + (byte & 0x7f);
      if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return { value, end: at + i + 1 };
    }
    throw new DamagedDatabase('a number of it is damaged');
  }
}

export type StoredValue = number | string | Buffer | null;

/** Values of a record; texts are byte strings, fractions are not told from `null`. */
export function decodeRecord(record: Buffer): readonly StoredValue[] {
  const small = (at: number): { value: number; end: number } => {
    let value = 0;
    for (let i = at; i < at + 6 && i < record.length; i++) {
      value = value * 128 + (record[i]! & 0x7f);
      if (record[i]! < 0x80) return { value, end: i + 1 };
    }
    throw new DamagedDatabase('a row of it is damaged');
  };
  const header = small(0);
  const values: StoredValue[] = [];
  let data = header.value;
  for (let at = header.end; at < header.value;) {
    const type = small(at);
    at = type.end;
    const size =
      type.value >= 12 ? Math.floor((type.value - 12) / 2) : [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0][type.value]!;
    if (data + size > record.length) throw new DamagedDatabase('a row of it is damaged');
    if (type.value >= 12) {
      const bytes = record.subarray(data, data + size);
      values.push(type.value % 2 === 0 ? bytes : bytes.toString('latin1'));
    } else if (type.value === 8 || type.value === 9) values.push(type.value - 8);
    else values.push(size > 0 && size <= 6 && type.value !== 7 ? record.readIntBE(data, size) : null);
    data += size;
  }
  return values;
}
