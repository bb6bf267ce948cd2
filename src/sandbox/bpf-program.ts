/** One instruction of classic BPF (linux/filter.h, `struct sock_filter`). */
export interface Instruction {
  readonly code: number;
  /** Instructions to skip where a comparison holds, and where not; at most 255. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

const LOAD_WORD = 0x20;
const JUMP = { always: 0x05, equal: 0x15, greater: 0x25, greaterOrEqual: 0x35, anyBit: 0x45 } as const;
const RETURN = 0x06;

/** A comparison of what was loaded, without `always`. */
export type Test = Exclude<keyof typeof JUMP, 'always'>;

/** Loads the 32-bit word at an offset of `struct seccomp_data`. */
export function load(offset: number): Instruction {
  return { code: LOAD_WORD, jt: 0, jf: 0, k: offset };
}

/** Where the test holds, `then` is run, otherwise what follows it. */
export function when(test: Test, value: number, then: readonly Instruction[]): readonly Instruction[] {
  // A block that a conditional jump cannot leap over is leapt over by an unconditional one.
  if (then.length <= MAX_SKIP) return [{ code: JUMP[test], jt: 0, jf: then.length, k: value }, ...then];
  const over: Instruction = { code: JUMP.always, jt: 0, jf: 0, k: then.length };
  return [{ code: JUMP[test], jt: 1, jf: 0, k: value }, over, ...then];
}

/** Where what was loaded is none of the values, `then` is run. */
export function unlessAny(values: readonly number[], then: readonly Instruction[]): readonly Instruction[] {
  const skip = (index: number) => values.length - index - 1 + then.length;
  return [...values.map((k, index) => ({ code: JUMP.equal, jt: skip(index), jf: 0, k })), ...then];
}

/** Ends the program with an answer (seccomp(2), "Filter return values"). */
export function answer(value: number): Instruction {
  return { code: RETURN, jt: 0, jf: 0, k: value };
}

const MAX_SKIP = 255;
/** BPF_MAXINSNS. */
const MAX_INSTRUCTIONS = 4096;

/** The program as the kernel reads it on a machine of little-endian numbers. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  if (program.length > MAX_INSTRUCTIONS) throw new Error(`a filter of ${program.length} instructions is too long`);
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    if (jt > MAX_SKIP || jf > MAX_SKIP) throw new Error(`instruction ${index} jumps too far`);
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  }
  return bytes;
}
