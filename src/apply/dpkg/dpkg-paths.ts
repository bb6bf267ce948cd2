/** What dpkg's driver does with one of its files. */
export type DpkgFile =
  | { readonly kind: 'status' | 'records' | 'record' | 'diversions' | 'statoverride' | 'lines' | 'unincorporated' }
  | { readonly kind: 'automatic' | 'debconf' | 'ucf-hashes' | 'ucf-registry' | 'backup' | 'journal' | 'empty' }
  | { readonly kind: 'alternatives' | 'alternative-link'; readonly name: string }
  | { readonly kind: 'info'; readonly stem: string; readonly type: string };

const FIXED: Readonly<Record<string, DpkgFile>> = {
  'var/lib/dpkg/status': { kind: 'status' },
  'var/lib/dpkg/available': { kind: 'records' },
  'var/lib/dpkg/diversions': { kind: 'diversions' },
  'var/lib/dpkg/statoverride': { kind: 'statoverride' },
  'var/lib/dpkg/arch': { kind: 'lines' },
  'var/lib/dpkg/cmethopt': { kind: 'backup' },
  'var/lib/dpkg/lock': { kind: 'empty' },
  'var/lib/dpkg/lock-frontend': { kind: 'empty' },
  'var/lib/dpkg/triggers/Lock': { kind: 'empty' },
  'var/lib/dpkg/triggers/Unincorp': { kind: 'unincorporated' },
  'var/lib/apt/extended_states': { kind: 'automatic' },
  'var/lib/ucf/hashfile': { kind: 'ucf-hashes' },
  'var/lib/ucf/registry': { kind: 'ucf-registry' },
};

const BACKUPS =
  /^(?:var\/lib\/dpkg\/[a-z]+-old|var\/cache\/debconf\/[a-z]+\.dat-old|var\/lib\/ucf\/(?:hashfile|registry)\.\d+|var\/backups\/(?:dpkg|apt|alternatives)\.[^/]*)$/;

/** Which file of dpkg's, apt's, debconf's or ucf's a path names; `undefined` for none. */
export function dpkgFile(path: string): DpkgFile | undefined {
  if (!path.startsWith('var/') && !path.startsWith('etc/')) return undefined;
  if (Object.hasOwn(FIXED, path)) return FIXED[path];
  if (BACKUPS.test(path)) return { kind: 'backup' };
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  switch (path.slice(0, slash)) {
    case 'etc/alternatives':
      return name === 'README' ? undefined : { kind: 'alternative-link', name };
    case 'var/lib/dpkg/alternatives':
    case 'var/lib/alternatives':
      return { kind: 'alternatives', name };
    case 'var/lib/dpkg/triggers':
      return { kind: 'lines' };
    case 'var/lib/dpkg/updates':
      return { kind: 'journal' };
    case 'var/lib/dpkg/status.d':
      return name.endsWith('.md5sums')
        ? { kind: 'info', stem: name.slice(0, -8), type: 'md5sums' }
        : { kind: 'record' };
    case 'var/lib/dpkg/info': {
      const dot = name.lastIndexOf('.');
      return dot <= 0 ? undefined : { kind: 'info', stem: name.slice(0, dot), type: name.slice(dot + 1) };
    }
    case 'var/cache/debconf':
      return name.endsWith('.dat') ? { kind: 'debconf' } : undefined;
    default:
      return undefined;
  }
}

/** Whether a name from a database can stand for a file of a directory. */
export function isSafeName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0\n]/.test(name);
}
