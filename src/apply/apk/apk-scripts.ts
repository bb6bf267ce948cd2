const BLOCK_BYTES = 512;
const END_BYTES = 2 * BLOCK_BYTES;

/** A member of `scripts.tar`: its blocks as they are, with the extension headers that belong to it. */
export interface ScriptMember {
  /** `NAME-VERSION.CHECKSUM.KIND`. */
  readonly name: string;
  readonly blocks: Buffer;
}

/**
 * The members of a tar archive of small scripts, by name, the last of equal ones counting. Says what is wrong where it is
 * damaged or cut off.
 */
export function parseScripts(tar: Buffer): ReadonlyMap<string, ScriptMember> | { readonly problem: string } {
  const members = new Map<string, ScriptMember>();
  let start = 0;
  for (let at = 0; at < tar.length;) {
    if (at + BLOCK_BYTES > tar.length) return { problem: 'it is cut off' };
    const header = tar.subarray(at, at + BLOCK_BYTES);
    if (header.every(byte => byte === 0)) return members;
    const size = octal(header, 124, 12);
    if (size === undefined || octal(header, 148, 8) !== checksum(header))
      return { problem: 'a header of it is damaged' };
    const end = at + BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (end > tar.length) return { problem: 'it is cut off' };
    const type = String.fromCharCode(header[156]!);
    // Extension headers say something of the member that follows.
    if (!'xgLK'.includes(type)) {
      const name = headerName(header);
      members.delete(name);
      members.set(name, { name, blocks: tar.subarray(start, end) });
      start = end;
    }
    at = end;
  }
  return members;
}

export function encodeScripts(members: Iterable<ScriptMember>): Buffer {
  return Buffer.concat([...[...members].map(({ blocks }) => blocks), Buffer.alloc(END_BYTES)]);
}

/** The checksum of the package that a script belongs to; `undefined` where its name has none. */
export function packageOfScript(name: string): string | undefined {
  return /\.(Q[12][A-Za-z0-9+/=_-]+)\.[a-z-]+$/.exec(name)?.[1];
}

function headerName(header: Buffer): string {
  const text = (from: number, length: number) => {
    const field = header.toString('latin1', from, from + length);
    const end = field.indexOf('\0');
    return end < 0 ? field : field.slice(0, end);
  };
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? text(345, 155) : '';
  return prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`;
}

function octal(header: Buffer, from: number, length: number): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(header.toString('latin1', from, from + length))?.[1];
  return digits === undefined ? undefined : parseInt(digits, 8);
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (const [i, byte] of header.entries()) sum += i >= 148 && i < 156 ? 32 : byte;
  return sum;
}
