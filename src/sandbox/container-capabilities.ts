/**
 * The capabilities that container engines give by default, with their numbers (linux/capability.h); everything else is
 * dropped. Root of a user namespace has no more than the real one: a recipe that builds for one builds for the other, and
 * what is mounted read-only stays so.
 */
export const CONTAINER_CAPABILITIES: Readonly<Record<`CAP_${string}`, number>> = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_RAW: 13,
  CAP_SYS_CHROOT: 18,
  CAP_MKNOD: 27,
  CAP_AUDIT_WRITE: 29,
  CAP_SETFCAP: 31,
};
