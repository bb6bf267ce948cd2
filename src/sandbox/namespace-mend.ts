import { readFile } from '../host/files.ts';

/** The line that lets this host enter namespaces, as far as the host tells why it refuses them. */
export async function namespaceMend(): Promise<string> {
  const read = (file: string) =>
    readFile(file, 'utf8').then(
      text => text.trim(),
      () => undefined,
    );
  if ((await read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns')) === '1') {
    return 'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0';
  }
  if ((await read('/proc/sys/kernel/unprivileged_userns_clone')) === '0') {
    return 'sudo sysctl -w kernel.unprivileged_userns_clone=1';
  }
  for (const kind of ['user', 'mnt', 'pid']) {
    if ((await read(`/proc/sys/user/max_${kind}_namespaces`)) === '0') {
      return `sudo sysctl -w user.max_${kind}_namespaces=15000`;
    }
  }
  return 'allow namespaces: inside a container, start it with --privileged or with seccomp and AppArmor unconfined';
}
