/** What the kernel and an emulator have to know of a processor that this host does not have. */
export interface Architecture {
  /** Word size of the file format in bits (`EI_CLASS`). */
  readonly bits: 32 | 64;
  readonly bigEndian: boolean;
  /** `e_machine`. */
  readonly machine: number;
  /** `e_flags` that a program of today's calling convention has. */
  readonly flags: number;
  /** The name that QEMU's user-mode emulators have for it: `qemu-NAME-static`. */
  readonly emulator: string;
  /** Instructions that end the process with `PROBE_STATUS`: exit(2) by the kernel's own convention (syscall(2)). */
  readonly exitCode: string;
}

/** The exit status of a probe program. */
export const PROBE_STATUS = 42;

/** By the names of the image specification (Go's GOARCH); machine numbers of elf.h. */
const ARCHITECTURES: ReadonlyMap<string, Architecture> = new Map<string, Architecture>([
  // mov edi, 42; mov eax, 60; syscall
  ['amd64', little(64, 62, 'x86_64', 'bf2a000000b83c0000000f05')],
  // mov ebx, 42; mov eax, 1; int 0x80
  ['386', little(32, 3, 'i386', 'bb2a000000b801000000cd80')],
  // mov x0, #42; mov x8, #93; svc #0
  ['arm64', little(64, 183, 'aarch64', '400580d2a80b80d2010000d4')],
  // mov r0, #42; mov r7, #1; svc #0
  ['arm', { ...little(32, 40, 'arm', '2a00a0e30170a0e3000000ef'), flags: 0x0500_0000 }],
  // li a0, 42; li a7, 93; ecall
  ['riscv64', little(64, 243, 'riscv64', '1305a0029308d00573000000')],
  // li r3, 42; li r0, 1; sc
  ['ppc64le', { ...little(64, 21, 'ppc64le', '2a0060380100003802000044'), flags: 2 }],
  // lghi %r2, 42; svc 1
  ['s390x', { bits: 64, bigEndian: true, machine: 22, flags: 0, emulator: 's390x', exitCode: 'a729002a0a01' }],
  // addi.w $a0, $zero, 42; addi.w $a7, $zero, 93; syscall 0
  ['loong64', { ...little(64, 258, 'loongarch64', '04a880020b74810200002b00'), flags: 0x43 }],
]);

function little(bits: 32 | 64, machine: number, emulator: string, exitCode: string): Architecture {
  return { bits, bigEndian: false, machine, flags: 0, emulator, exitCode };
}

/** An architecture by its name in the image specification; `undefined` where stk knows of no emulator. */
export function foreignArchitecture(name: string): Architecture | undefined {
  return ARCHITECTURES.get(name);
}

/** Names of all architectures that can be emulated, sorted. */
export function foreignArchitectures(): readonly string[] {
  return [...ARCHITECTURES.keys()].toSorted();
}

const LOAD_ADDRESS = 0x40_0000;

/**
 * A program of an architecture, of some hundred bytes, that does nothing but end with `PROBE_STATUS`: whoever can execute it
 * can execute what an image for that architecture holds. System V ABI, "Object Files" and "Program Loading".
 */
export function probeProgram(architecture: Architecture): Buffer {
  const wide = architecture.bits === 64;
  const headerBytes = wide ? 64 : 52;
  const segmentBytes = wide ? 56 : 32;
  const code = Buffer.from(architecture.exitCode, 'hex');
  const start = headerBytes + segmentBytes;
  const file = Buffer.alloc(start + code.length);
  const put = fieldWriter(file, architecture);
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, architecture.bigEndian ? 2 : 1, 1]);
  const word = wide ? 8 : 4;
  const [executable, version, loadable, readAndExecute, pageBytes] = [2, 1, 1, 5, 0x1_0000];
  // e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum
  put(16, [
    [2, executable],
    [2, architecture.machine],
    [4, version],
    [word, LOAD_ADDRESS + start],
    [word, headerBytes],
    [word, 0],
    [4, architecture.flags],
    [2, headerBytes],
    [2, segmentBytes],
    [2, 1],
  ]);
  const sizes = [
    [word, file.length],
    [word, file.length],
  ] as const;
  const places = [
    [word, 0],
    [word, LOAD_ADDRESS],
    [word, LOAD_ADDRESS],
  ] as const;
  // p_flags stands before the places in the wide form, behind the sizes in the narrow one.
  put(
    headerBytes,
    wide
      ? [[4, loadable], [4, readAndExecute], ...places, ...sizes, [word, pageBytes]]
      : [[4, loadable], ...places, ...sizes, [4, readAndExecute], [word, pageBytes]],
  );
  file.set(code, start);
  return file;
}

type Field = readonly [bytes: number, value: number];

/** Writes numbers one after the other from an offset on. */
function fieldWriter(file: Buffer, { bigEndian }: Architecture): (from: number, fields: readonly Field[]) => void {
  return (from, fields) => {
    let at = from;
    for (const [bytes, value] of fields) {
      // No value is larger than 32 bits.
      const low = Math.min(bytes, 4);
      if (bigEndian) file.writeUIntBE(value, at + bytes - low, low);
      else file.writeUIntLE(value, at, low);
      at += bytes;
    }
  };
}

/**
 * What binfmt_misc compares with the beginning of a file (Documentation/admin-guide/binfmt-misc.rst): class, byte order,
 * machine, and that it is a program or a shared object; never the ABI of an operating system, in bytes 7 to 15.
 */
export function programMagic({ bits, bigEndian, machine }: Architecture): {
  readonly magic: Buffer;
  readonly mask: Buffer;
} {
  const magic = Buffer.alloc(20);
  magic.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, bigEndian ? 2 : 1, 1]);
  const mask = Buffer.alloc(20, 0xff);
  mask.fill(0, 7, 16);
  if (bigEndian) {
    magic.writeUInt16BE(2, 16);
    magic.writeUInt16BE(machine, 18);
    mask[17] = 0xfe;
  } else {
    magic.writeUInt16LE(2, 16);
    magic.writeUInt16LE(machine, 18);
    mask[16] = 0xfe;
  }
  return { magic, mask };
}
