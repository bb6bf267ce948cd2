import os from 'node:os';
import { machineAbis, type Abi } from '../host/system-calls.ts';
import { DENIED_CALLS, type Condition } from '../sandbox/denied-calls.ts';

const ARCHITECTURES: Readonly<Record<Abi, readonly string[]>> = {
  x86_64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],
  x86: ['SCMP_ARCH_X86'],
  aarch64: ['SCMP_ARCH_AARCH64'],
  arm: ['SCMP_ARCH_ARM'],
  riscv64: ['SCMP_ARCH_RISCV64'],
  loongarch64: ['SCMP_ARCH_LOONGARCH64'],
  ppc64le: ['SCMP_ARCH_PPC64LE'],
};

/**
 * The filter of steps and containers in the form of runtime-spec, config-linux.md, "Seccomp". A condition "none of these
 * values" cannot be said there, since runtimes take several conditions on one argument for alternatives; such calls, which
 * is personality(2), stay allowed.
 */
export function seccompSpec(machine?: string): object {
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: machineAbis(machine).flatMap(abi => ARCHITECTURES[abi]),
    syscalls: DENIED_CALLS.flatMap(({ calls, when, error }) => {
      const denied = { names: calls, action: 'SCMP_ACT_ERRNO', errnoRet: os.constants.errno[error] };
      return when ? alternatives(when).map(argument => ({ ...denied, args: [argument] })) : [denied];
    }),
  };
}

/** What the kernel takes 32 bits of is compared by these alone: the filter sees all 64. */
function alternatives(condition: Condition): readonly object[] {
  const { index } = condition;
  const masked = (value: number, valueTwo: number) => ({ index, value, valueTwo, op: 'SCMP_CMP_MASKED_EQ' });
  if ('equals' in condition) return [masked(0xffff_ffff, condition.equals)];
  if ('noneOf' in condition) return [];
  const bits = Array.from({ length: 32 }, (_, bit) => 2 ** bit);
  return bits.filter(bit => (condition.anyOf & bit) !== 0).map(bit => masked(bit, bit));
}
