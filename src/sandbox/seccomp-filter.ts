import os from 'node:os';
import { LAST_KNOWN_CALL, callNumber, machineAbis, type Abi } from '../host/system-calls.ts';
import { answer, encodeProgram, load, unlessAny, when, type Instruction } from './bpf-program.ts';
import { DENIED_CALLS, type Condition, type DeniedCalls } from './denied-calls.ts';

/** What `struct seccomp_data` has for the calls of each ABI (linux/audit.h). */
const AUDIT_ARCH: Readonly<Record<Abi, number>> = {
  x86_64: 0xc000_003e,
  x86: 0x4000_0003,
  aarch64: 0xc000_00b7,
  arm: 0x4000_0028,
  riscv64: 0xc000_00f3,
  loongarch64: 0xc000_0102,
  ppc64le: 0xc000_0015,
};

/** Offsets in `struct seccomp_data` (linux/seccomp.h), of the lower halves of arguments: all these machines are little-endian. */
const NUMBER = 0;
const ARCH = 4;
const argument = (index: number) => 16 + 8 * index;

/** Answers (linux/seccomp.h). */
const ALLOW = answer(0x7fff_0000);
const KILL = answer(0x8000_0000);
const fail = (error: keyof typeof os.constants.errno) => answer(0x0005_0000 | os.constants.errno[error]);

/** Numbers from here on are the arm kernel's own, for its C library (asm/unistd.h, __ARM_NR_BASE). */
const ARM_PRIVATE = 0x0f_0000;

/**
 * The filter for every process of a sandbox, for this machine's ABIs: a program of classic BPF that denies `DENIED_CALLS`
 * and takes calls that are younger than its table, and the x32 ABI, for ones that the kernel lacks. Calls of ABIs that the
 * machine is not known to have end the process.
 */
export function seccompFilter(machine?: string): Buffer {
  const abis = machineAbis(machine);
  return encodeProgram([load(ARCH), ...abis.flatMap(abi => when('equal', AUDIT_ARCH[abi], filterFor(abi))), KILL]);
}

function filterFor(abi: Abi): readonly Instruction[] {
  return [
    load(NUMBER),
    ...(abi === 'arm' ? when('greaterOrEqual', ARM_PRIVATE, [ALLOW]) : []),
    ...when('greater', LAST_KNOWN_CALL, [fail('ENOSYS')]),
    ...DENIED_CALLS.flatMap(denied => denials(abi, denied)),
    ALLOW,
  ];
}

function denials(abi: Abi, { calls, when: condition, error }: DeniedCalls): readonly Instruction[] {
  return calls.flatMap(call => {
    const number = callNumber(abi, call);
    if (number === undefined) return [];
    // Other conditions may be for the same call.
    const then = condition ? [...test(condition, fail(error)), load(NUMBER)] : [fail(error)];
    return when('equal', number, then);
  });
}

function test(condition: Condition, then: Instruction): readonly Instruction[] {
  const value = load(argument(condition.index));
  if ('equals' in condition) return [value, ...when('equal', condition.equals, [then])];
  if ('anyOf' in condition) return [value, ...when('anyBit', condition.anyOf, [then])];
  return [value, ...unlessAny(condition.noneOf, [then])];
}
