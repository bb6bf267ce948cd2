import type { SystemCall } from '../host/system-calls.ts';

/** Argument `index` of a call, of which the kernel takes 32 bits here. */
export type Condition =
  | { readonly index: number; readonly equals: number }
  /** Any of the bits. */
  | { readonly index: number; readonly anyOf: number }
  /** None of the values. */
  | { readonly index: number; readonly noneOf: readonly number[] };

export interface DeniedCalls {
  readonly calls: readonly SystemCall[];
  /** The calls are denied where it holds; without one, always. */
  readonly when?: Condition;
  readonly error: 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT';
}

/** Namespaces of every kind (sched.h, CLONE_NEW…). The low byte is a signal for clone(2), a time namespace for unshare(2). */
const NEW_NAMESPACES = 0x7e02_0000;
const NEW_TIME = 0x80;
/** The init process of a sandbox is bubblewrap's: what it waits for never comes while somebody traces it. */
const INIT = 1;

/**
 * What no process in a sandbox may ask of the kernel: what container engines deny by default to whoever has their default
 * capabilities (moby's profile and podman's are the sources of the facts), and a little more. The namespaces and
 * capabilities of a sandbox forbid most of it as well. Here a call does not reach the code that might be wrong about that.
 */
export const DENIED_CALLS: readonly DeniedCalls[] = [
  // Keyrings are of users, not of namespaces.
  { calls: ['add_key', 'keyctl', 'request_key'], error: 'EPERM' },
  // Code in the kernel.
  { calls: ['bpf', 'create_module', 'delete_module', 'finit_module', 'get_kernel_syms'], error: 'EPERM' },
  { calls: ['init_module', 'kexec_file_load', 'kexec_load', 'query_module'], error: 'EPERM' },
  // Calls that go around this filter, and those that hold the kernel up in the middle of a copy.
  { calls: ['io_uring_enter', 'io_uring_register', 'io_uring_setup', 'userfaultfd'], error: 'EPERM' },
  // Looks at the machine or at other processes.
  { calls: ['fanotify_init', 'kcmp', 'lookup_dcookie', 'perf_event_open', 'syslog'], error: 'EPERM' },
  { calls: ['pidfd_getfd', 'process_madvise'], error: 'EPERM' },
  { calls: ['ptrace'], when: { index: 1, equals: INIT }, error: 'EPERM' },
  { calls: ['process_vm_readv', 'process_vm_writev'], when: { index: 0, equals: INIT }, error: 'EPERM' },
  // Files by handles, past every directory.
  { calls: ['open_by_handle_at'], error: 'EPERM' },
  // Mounts.
  { calls: ['fsconfig', 'fsmount', 'fsopen', 'fspick', 'mount', 'mount_setattr', 'move_mount'], error: 'EPERM' },
  { calls: ['open_tree', 'open_tree_attr', 'pivot_root', 'umount', 'umount2'], error: 'EPERM' },
  { calls: ['quotactl', 'quotactl_fd', 'swapoff', 'swapon'], error: 'EPERM' },
  // Namespaces, where one would have all capabilities.
  { calls: ['setns'], error: 'EPERM' },
  { calls: ['clone'], when: { index: 0, anyOf: NEW_NAMESPACES }, error: 'EPERM' },
  { calls: ['unshare'], when: { index: 0, anyOf: NEW_NAMESPACES | NEW_TIME }, error: 'EPERM' },
  // Its flags are in memory, where a filter cannot look; C libraries go on with clone(2).
  { calls: ['clone3'], error: 'ENOSYS' },
  // The machine, its clock, its name, its ports.
  { calls: ['acct', 'clock_settime', 'clock_settime64', 'ioperm', 'iopl', 'reboot'], error: 'EPERM' },
  { calls: ['setdomainname', 'sethostname', 'settimeofday', 'stime', 'vhangup'], error: 'EPERM' },
  // Memory of other nodes.
  { calls: ['get_mempolicy', 'mbind', 'migrate_pages', 'move_pages', 'set_mempolicy'], error: 'EPERM' },
  { calls: ['set_mempolicy_home_node'], error: 'EPERM' },
  // What is old and little looked at. Of personalities: Linux, 32 bits, both with release numbers of 2.6, and the question.
  { calls: ['_sysctl', 'nfsservctl', 'sysfs', 'uselib', 'ustat', 'vm86', 'vm86old'], error: 'EPERM' },
  { calls: ['personality'], when: { index: 0, noneOf: [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] }, error: 'EPERM' },
  // The kernel's own cryptography (AF_ALG), and sockets to the machine that runs this one (AF_VSOCK).
  { calls: ['socket'], when: { index: 0, equals: 38 }, error: 'EAFNOSUPPORT' },
  { calls: ['socket'], when: { index: 0, equals: 40 }, error: 'EAFNOSUPPORT' },
  // Keys typed into the caller's terminal (TIOCSTI), and its selection (TIOCLINUX).
  { calls: ['ioctl'], when: { index: 1, equals: 0x5412 }, error: 'EPERM' },
  { calls: ['ioctl'], when: { index: 1, equals: 0x541c }, error: 'EPERM' },
];
