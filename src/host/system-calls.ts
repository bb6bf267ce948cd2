/**
 * Ways to enter the kernel, by the names that container configurations give them. A program of one machine may use
 * several: 32-bit ones run on most 64-bit machines.
 */
export type Abi = 'x86_64' | 'x86' | 'aarch64' | 'arm' | 'riscv64' | 'loongarch64' | 'ppc64le';

/** What Node calls the machines it runs on, and the ABIs that a program may use there, the machine's own first. */
const MACHINES: Readonly<Record<string, readonly Abi[]>> = {
  x64: ['x86_64', 'x86'],
  ia32: ['x86', 'x86_64'],
  arm64: ['aarch64', 'arm'],
  arm: ['arm', 'aarch64'],
  riscv64: ['riscv64'],
  loong64: ['loongarch64'],
  ppc64: ['ppc64le'],
};

/** Columns of the table below; the younger architectures all have the numbers of the first of them, aarch64. */
const COLUMNS: Readonly<Record<Abi, number>> = {
  x86_64: 0,
  x86: 1,
  aarch64: 2,
  riscv64: 2,
  loongarch64: 2,
  arm: 3,
  ppc64le: 4,
};

type Numbers = readonly (number | undefined)[];

/** Numbers of system calls (the kernel's arch/…/syscall.tbl, scripts/syscall.tbl): x86_64, x86, aarch64, arm, ppc64. */
const NUMBERS = {
  acct: [163, 51, 89, 51, 51],
  add_key: [248, 286, 217, 309, 269],
  bpf: [321, 357, 280, 386, 361],
  capget: [125, 184, 90, 184, 183],
  capset: [126, 185, 91, 185, 184],
  clock_settime: [227, 264, 112, 262, 245],
  clock_settime64: [undefined, 404, undefined, 404, undefined],
  clone: [56, 120, 220, 120, 120],
  clone3: [435, 435, 435, 435, 435],
  close: [3, 6, 57, 6, 6],
  create_module: [174, 127, undefined, undefined, 127],
  delete_module: [176, 129, 106, 129, 129],
  fanotify_init: [300, 338, 262, 367, 323],
  finit_module: [313, 350, 273, 379, 353],
  fsconfig: [431, 431, 431, 431, 431],
  fsmount: [432, 432, 432, 432, 432],
  fsopen: [430, 430, 430, 430, 430],
  fspick: [433, 433, 433, 433, 433],
  get_kernel_syms: [177, 130, undefined, undefined, 130],
  get_mempolicy: [239, 275, 236, 320, 260],
  init_module: [175, 128, 105, 128, 128],
  io_uring_enter: [426, 426, 426, 426, 426],
  io_uring_register: [427, 427, 427, 427, 427],
  io_uring_setup: [425, 425, 425, 425, 425],
  ioctl: [16, 54, 29, 54, 54],
  ioperm: [173, 101, undefined, undefined, 101],
  iopl: [172, 110, undefined, undefined, 110],
  kcmp: [312, 349, 272, 378, 354],
  kexec_file_load: [320, undefined, 294, 401, 382],
  kexec_load: [246, 283, 104, 347, 268],
  keyctl: [250, 288, 219, 311, 271],
  lookup_dcookie: [212, 253, 18, 249, 235],
  mbind: [237, 274, 235, 319, 259],
  migrate_pages: [256, 294, 238, 400, 258],
  mount: [165, 21, 40, 21, 21],
  mount_setattr: [442, 442, 442, 442, 442],
  move_mount: [429, 429, 429, 429, 429],
  move_pages: [279, 317, 239, 344, 301],
  nfsservctl: [180, 169, 42, 169, 168],
  open_by_handle_at: [304, 342, 265, 371, 346],
  open_tree: [428, 428, 428, 428, 428],
  open_tree_attr: [467, 467, 467, 467, 467],
  perf_event_open: [298, 336, 241, 364, 319],
  personality: [135, 136, 92, 136, 136],
  pidfd_getfd: [438, 438, 438, 438, 438],
  prlimit64: [302, 340, 261, 369, 325],
  pivot_root: [155, 217, 41, 218, 203],
  prctl: [157, 172, 167, 172, 171],
  process_madvise: [440, 440, 440, 440, 440],
  process_vm_readv: [310, 347, 270, 376, 351],
  process_vm_writev: [311, 348, 271, 377, 352],
  ptrace: [101, 26, 117, 26, 26],
  query_module: [178, 167, undefined, undefined, 166],
  quotactl: [179, 131, 60, 131, 131],
  quotactl_fd: [443, 443, 443, 443, 443],
  reboot: [169, 88, 142, 88, 88],
  recvmsg: [47, 372, 212, 297, 342],
  request_key: [249, 287, 218, 310, 270],
  set_mempolicy: [238, 276, 237, 321, 261],
  set_mempolicy_home_node: [450, 450, 450, 450, 450],
  setdomainname: [171, 121, 162, 121, 121],
  sethostname: [170, 74, 161, 74, 74],
  setgroups: [116, 206, 159, 206, 81],
  setns: [308, 346, 268, 375, 350],
  settimeofday: [164, 79, 170, 79, 79],
  socket: [41, 359, 198, 281, 326],
  stime: [undefined, 25, undefined, undefined, 25],
  swapoff: [168, 115, 225, 115, 115],
  swapon: [167, 87, 224, 87, 87],
  _sysctl: [156, 149, undefined, 149, 149],
  sysfs: [139, 135, undefined, 135, 135],
  syslog: [103, 103, 116, 103, 103],
  umount: [undefined, 22, undefined, undefined, 22],
  umount2: [166, 52, 39, 52, 52],
  unshare: [272, 310, 97, 337, 282],
  uselib: [134, 86, undefined, 86, 86],
  userfaultfd: [323, 374, 282, 388, 364],
  ustat: [136, 62, undefined, 62, 62],
  vhangup: [153, 111, 58, 111, 111],
  vm86: [undefined, 166, undefined, undefined, 113],
  vm86old: [undefined, 113, undefined, undefined, undefined],
} as const satisfies Readonly<Record<string, Numbers>>;

export type SystemCall = keyof typeof NUMBERS;

/**
 * The highest number that any ABI has in Linux 6.18 (since 5.1 new calls have one number everywhere). What lies above was
 * not known when the table was made.
 */
export const LAST_KNOWN_CALL = 469;

/** The ABIs of this machine, its own first; empty where it is none of the table. */
export function machineAbis(machine: string = process.arch): readonly Abi[] {
  return MACHINES[machine] ?? [];
}

/** The number of a system call, `undefined` where an ABI has none. */
export function callNumber(abi: Abi, call: SystemCall): number | undefined {
  return (NUMBERS[call] as Numbers)[COLUMNS[abi]];
}
