import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { callNumber, type Abi, type SystemCall } from '../../src/host/system-calls.ts';
import { DENIED_CALLS } from '../../src/sandbox/denied-calls.ts';
import { requires } from '../rig/gates.ts';

requires('tool:scmp_sys_resolver');

const ABIS: readonly Abi[] = ['x86_64', 'x86', 'aarch64', 'arm', 'riscv64', 'ppc64le'];
const CALLS = [...new Set<SystemCall>([...DENIED_CALLS.flatMap(({ calls }) => calls), 'close'])];
/** Calls that are younger than libseccomp 2.5.4, and those that it takes for parts of a call with many. */
const UNKNOWN: ReadonlySet<string> = new Set(['open_tree_attr', 'quotactl_fd', 'set_mempolicy_home_node']);

describe('numbers of system calls', () => {
  it.each(ABIS)('are those of libseccomp for %s', async abi => {
    const wrong: string[] = [];
    for (const call of CALLS) {
      const { stdout } = await execa('scmp_sys_resolver', ['-a', abi, call]);
      const number = Number(stdout);
      if (number < 0 && (UNKNOWN.has(call) || call === 'socket')) continue;
      if ((number < 0 ? undefined : number) !== callNumber(abi, call)) wrong.push(`${call}: ${stdout}`);
    }
    expect(wrong).toEqual([]);
  });
});
