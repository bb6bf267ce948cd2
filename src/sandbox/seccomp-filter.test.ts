import os from 'node:os';
import { describe, expect, it } from 'vitest';
import { seccompFilter } from './seccomp-filter.ts';

/** `struct seccomp_data` (seccomp(2)). */
interface Call {
  readonly arch: number;
  readonly number: number;
  readonly args?: readonly bigint[];
}

/** What the kernel makes of a filter (linux/filter.h, as far as seccomp(2) lets it go). */
function run(filter: Buffer, { arch, number, args = [] }: Call): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(arch, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(value, 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < filter.length / 8;) {
    const [code, jt, jf, k] = [
      filter.readUInt16LE(at * 8),
      filter.readUInt8(at * 8 + 2),
      filter.readUInt8(at * 8 + 3),
      filter.readUInt32LE(at * 8 + 4),
    ];
    at++;
    if (code === 0x06) return k;
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x05) at += k;
    else at += compare(code, accumulator, k) ? jt : jf;
  }
  throw new Error('the program ran beyond its end');
}

function compare(code: number, left: number, right: number): boolean {
  if (code === 0x15) return left === right;
  if (code === 0x25) return left > right;
  if (code === 0x35) return left >= right;
  if (code === 0x45) return (left & right) !== 0;
  throw new Error(`instruction ${code}`);
}

const ALLOW = 0x7fff_0000;
const error = (name: 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT') => 0x0005_0000 + os.constants.errno[name];
const X86_64 = 0xc000_003e;
const X86 = 0x4000_0003;
const AARCH64 = 0xc000_00b7;
const ARM = 0x4000_0028;

// Numbers and flags as in the kernel's headers (asm/unistd_64.h, unistd_32.h, asm-generic/unistd.h; sched.h; personality.h).
const rows: readonly (readonly [string, 'x64' | 'arm64', Call, number])[] = [
  ['read', 'x64', { arch: X86_64, number: 0 }, ALLOW],
  ['keyctl', 'x64', { arch: X86_64, number: 250 }, error('EPERM')],
  ['keyctl of 32 bits', 'x64', { arch: X86, number: 288 }, error('EPERM')],
  ['what keyctl is with 32 bits', 'x64', { arch: X86_64, number: 288 }, ALLOW],
  ['keyctl of x32', 'x64', { arch: X86_64, number: 0x4000_0000 + 250 }, error('ENOSYS')],
  ['read of x32', 'x64', { arch: X86_64, number: 0x4000_0000 }, error('ENOSYS')],
  ['keyctl of aarch64', 'arm64', { arch: AARCH64, number: 219 }, error('EPERM')],
  ['keyctl of arm', 'arm64', { arch: ARM, number: 311 }, error('EPERM')],
  ['set_tls of arm', 'arm64', { arch: ARM, number: 0x0f_0005 }, ALLOW],
  ['a call of another machine', 'x64', { arch: AARCH64, number: 63 }, 0x8000_0000],
  ['io_uring_setup', 'x64', { arch: X86_64, number: 425 }, error('EPERM')],
  ['clone3', 'x64', { arch: X86_64, number: 435 }, error('ENOSYS')],
  ['file_setattr', 'x64', { arch: X86_64, number: 469 }, ALLOW],
  ['a call of the future', 'x64', { arch: X86_64, number: 470 }, error('ENOSYS')],
  ['call -1', 'x64', { arch: X86_64, number: -1 }, error('ENOSYS')],
  ['fork', 'x64', { arch: X86_64, number: 56, args: [17n] }, ALLOW],
  ['a thread', 'x64', { arch: X86_64, number: 56, args: [0x3d0f00n] }, ALLOW],
  ['clone with a user namespace', 'x64', { arch: X86_64, number: 56, args: [0x1000_0011n] }, error('EPERM')],
  ['clone with a network', 'arm64', { arch: AARCH64, number: 220, args: [0x4000_0011n] }, error('EPERM')],
  ['clone with junk above', 'x64', { arch: X86_64, number: 56, args: [0x1_1000_0011n] }, error('EPERM')],
  ['unshare of files', 'x64', { arch: X86_64, number: 272, args: [0x400n] }, ALLOW],
  ['unshare of nothing', 'x64', { arch: X86_64, number: 272, args: [0n] }, ALLOW],
  ['unshare of a user namespace', 'x64', { arch: X86_64, number: 272, args: [0x1000_0000n] }, error('EPERM')],
  ['unshare of time', 'x64', { arch: X86_64, number: 272, args: [0x80n] }, error('EPERM')],
  ['ptrace of init', 'x64', { arch: X86_64, number: 101, args: [16n, 1n] }, error('EPERM')],
  ['ptrace of init with junk above', 'x64', { arch: X86_64, number: 101, args: [16n, 0x1_0000_0001n] }, error('EPERM')],
  ['ptrace of others', 'x64', { arch: X86_64, number: 101, args: [16n, 2n] }, ALLOW],
  ['socket for addresses', 'x64', { arch: X86_64, number: 41, args: [2n] }, ALLOW],
  ['socket to the machine outside', 'x64', { arch: X86_64, number: 41, args: [40n] }, error('EAFNOSUPPORT')],
  ['socket for cryptography', 'x64', { arch: X86_64, number: 41, args: [38n] }, error('EAFNOSUPPORT')],
  ['a question for the personality', 'x64', { arch: X86_64, number: 135, args: [0xffff_ffffn] }, ALLOW],
  ['personality of 32 bits', 'x64', { arch: X86_64, number: 135, args: [8n] }, ALLOW],
  ['personality without randomness', 'x64', { arch: X86_64, number: 135, args: [0x4_0000n] }, error('EPERM')],
  ['TIOCSTI', 'x64', { arch: X86_64, number: 16, args: [0n, 0x5412n] }, error('EPERM')],
  ['TIOCLINUX', 'arm64', { arch: AARCH64, number: 29, args: [0n, 0x541cn] }, error('EPERM')],
  ['TIOCGWINSZ', 'x64', { arch: X86_64, number: 16, args: [0n, 0x5413n] }, ALLOW],
];

describe('the filter of a sandbox', () => {
  it.each(rows)('answers %s on %s', (_name, machine, call, expected) => {
    expect(run(seccompFilter(machine), call)).toBe(expected);
  });

  it.each(['x64', 'ia32', 'arm64', 'arm', 'riscv64', 'loong64', 'ppc64'])('ends on every way on %s', machine => {
    const filter = seccompFilter(machine);
    for (const arch of [X86_64, X86, AARCH64, ARM, 0xc000_00f3, 0xc000_0102, 0xc000_0015]) {
      for (let number = 0; number < 480; number++) run(filter, { arch, number });
    }
  });
});
