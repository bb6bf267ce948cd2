import { mapLimited } from '../core/limiter.ts';
import { lstat } from '../host/files.ts';

/**
 * Files and directories of the kernel's own filesystems that nobody in a sandbox may read: they tell about the whole
 * machine, its memory, its keys and its devices. Those that container engines mask, and what a bound /sys shows beyond
 * the fresh one that engines mount: filesystems of the host's below it.
 */
export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/dynamic_debug',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/key-users',
  '/proc/keys',
  '/proc/kpagecgroup',
  '/proc/kpagecount',
  '/proc/kpageflags',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/dev/block',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/bpf',
  '/sys/fs/pstore',
  '/sys/fs/selinux',
  '/sys/kernel/config',
  '/sys/kernel/debug',
  '/sys/kernel/security',
  '/sys/kernel/tracing',
];

/**
 * Parts of /proc that act on the whole machine. The real root's files there need no capability to be written. /sys is
 * read-only altogether; what else is below /proc belongs to the processes of the sandbox.
 */
export const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/driver',
  '/proc/fs',
  '/proc/irq',
  '/proc/mtrr',
  '/proc/pressure',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

const PARALLEL_LOOKS = 8;

/**
 * Options of bubblewrap, behind those that mount /proc and /sys below `below`. bubblewrap covers some of these itself,
 * but asks access(2) first, which takes /proc/sys for read-only. What this kernel was built without cannot be covered.
 */
export async function protectionOptions(below: string): Promise<readonly string[]> {
  const cover = (path: string, how: (isDirectory: boolean) => readonly string[]) =>
    lstat(path).then(
      found => how(found.isDirectory()),
      () => [],
    );
  const masked = await mapLimited(MASKED_PATHS, PARALLEL_LOOKS, path =>
    cover(path, isDirectory =>
      isDirectory
        ? ['--perms', '0555', '--tmpfs', `${below}${path}`, '--remount-ro', `${below}${path}`]
        : ['--ro-bind', '/dev/null', `${below}${path}`],
    ),
  );
  const readOnly = await mapLimited(READONLY_PATHS, PARALLEL_LOOKS, path =>
    cover(path, () => ['--ro-bind', path, `${below}${path}`]),
  );
  return [...masked, ...readOnly].flat();
}
