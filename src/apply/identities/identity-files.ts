import type { LayerStack } from '../../squashfs/layer-stack.ts';
import { Remembered } from '../../core/remembered.ts';

/** Files that are generated once for a machine and belong together, such as a private key and its certificate. */
export interface Identity {
  /** What tells it apart from others. */
  readonly key: string;
  /** As messages call it. */
  readonly what: string;
  /** Byte strings in the form of `imagePath`. */
  readonly paths: readonly string[];
  /** The one that the others follow, or do without where only others have them. */
  readonly main?: string | undefined;
  /** Whether it does no harm that several machines have it. */
  readonly isPublic: boolean;
  /** A shell command that removes it, so that it is made anew where it is used. */
  readonly removal: string;
}

interface Kind {
  /** The first group names one of several; without a group there is one. */
  readonly pattern: RegExp;
  readonly directory: string;
  readonly what: (name: string) => string;
  /** Further files of the same identity. */
  readonly others?: (name: string) => readonly string[];
  readonly main?: string;
  readonly isPublic?: boolean;
  /** What to do in place of removing the files. */
  readonly removal?: string;
}

const certificates =
  (directory: string) =>
  (name: string): readonly string[] =>
    ['pem', 'crt', 'cert'].map(ending => `${directory}/${name}.${ending}`);

/** Where Debian, Alpine and the distributions of rpm have them. */
const KINDS: readonly Kind[] = [
  {
    pattern: /^ssh_host_(\w+)_key(?:\.pub|-cert\.pub)?$/,
    directory: 'etc/ssh',
    what: name => `the ${name} host key of ssh`,
  },
  {
    pattern: /^(.+)\.(?:key|pem)$/,
    directory: 'etc/ssl/private',
    what: name => `the key ${name} and its certificate`,
    others: certificates('etc/ssl/certs'),
  },
  {
    pattern: /^(.+)\.(?:key|pem)$/,
    directory: 'etc/pki/tls/private',
    what: name => `the key ${name} and its certificate`,
    others: certificates('etc/pki/tls/certs'),
  },
  {
    pattern: /^dovecot\.(?:key|pem)$/,
    directory: 'etc/dovecot/private',
    what: () => "dovecot's key and certificate",
    others: () => ['etc/dovecot/dovecot.pem', 'etc/dovecot/certs/dovecot.pem'],
  },
  {
    pattern: /^unbound_(?:server|control)\.(?:key|pem)$/,
    directory: 'etc/unbound',
    what: () => "unbound's keys and certificates",
  },
  { pattern: /^rndc\.key$/, directory: 'etc/bind', what: () => 'the key of rndc' },
  { pattern: /^rndc\.key$/, directory: 'etc', what: () => 'the key of rndc' },
  { pattern: /^munge\.key$/, directory: 'etc/munge', what: () => 'the key of munge' },
  {
    pattern: /^machine-id$/,
    directory: 'etc',
    what: () => 'the machine id',
    others: () => ['var/lib/dbus/machine-id'],
    // systemd takes a machine without it for one that was never started; dbus looks there where it has none of its own.
    main: 'etc/machine-id',
    removal: ': > /etc/machine-id; rm -f /var/lib/dbus/machine-id',
  },
  {
    pattern: /^machine-id$/,
    directory: 'var/lib/dbus',
    what: () => 'the machine id',
    others: () => ['etc/machine-id'],
    main: 'etc/machine-id',
    removal: ': > /etc/machine-id; rm -f /var/lib/dbus/machine-id',
  },
  { pattern: /^hostid$/, directory: 'etc', what: () => 'the host id' },
  {
    pattern: /^(?:random-seed|credential\.secret)$/,
    directory: 'var/lib/systemd',
    what: () => "systemd's random seed",
  },
  { pattern: /^random-seed$/, directory: 'var/lib/urandom', what: () => 'the random seed' },
  { pattern: /^random-seed$/, directory: 'var/lib/seedrng', what: () => 'the random seed' },
  ...['etc/ssl', 'etc/ssl/certs', 'etc/nginx', 'etc/nginx/ssl', 'etc/pki/tls', 'etc/dovecot', 'usr/share/dovecot'].map(
    directory => ({
      pattern: /^(dh(?:params?)?(?:[-_]?\d+)?\.pem)$/,
      directory,
      what: (name: string) => `the Diffie-Hellman parameters ${name}`,
      isPublic: true,
    }),
  ),
];

/** Whether a file is part of an identity by its path alone. */
export function isIdentityFile(path: string): boolean {
  const slash = path.lastIndexOf('/');
  const name = path.slice(slash + 1);
  return KINDS.some(kind => kind.directory === path.slice(0, Math.max(slash, 0)) && kind.pattern.test(name));
}

/** The identities that any of the trees has. */
export async function findIdentities(
  trees: readonly (LayerStack | undefined)[],
  signal?: AbortSignal,
): Promise<readonly Identity[]> {
  const found = new Map<string, { readonly kind: Kind; readonly what: string; readonly paths: Set<string> }>();
  const listed = new Remembered<string, ReadonlySet<string>>();
  for (const kind of KINDS) {
    for (const file of await listed.get(kind.directory, () => namesIn(trees, kind.directory, signal))) {
      const match = kind.pattern.exec(file);
      if (match === null) continue;
      const name = match[1] ?? '';
      const what = kind.what(name);
      // What is called alike in one place and kept in two is one thing, such as the machine id.
      const key = `${what} ${name === '' ? '' : kind.directory}`;
      const known = found.get(key) ?? { kind, what, paths: new Set<string>() };
      found.set(key, known);
      for (const path of [`${kind.directory}/${file}`, ...(kind.others?.(name) ?? [])]) known.paths.add(path);
    }
  }
  const identities: Identity[] = [];
  for (const [key, { kind, what, paths }] of found) {
    const there: string[] = [];
    for (const path of paths) {
      for (const tree of trees) {
        const node = await tree?.lookup(path, signal);
        if (node === undefined || node.inode.type === 'directory') continue;
        there.push(path);
        break;
      }
    }
    const removal = kind.removal ?? `rm -f ${there.map(quoted).join(' ')}`;
    const { main, isPublic = false } = kind;
    identities.push({ key, what, paths: there, main, isPublic, removal });
  }
  return identities;
}

async function namesIn(
  trees: readonly (LayerStack | undefined)[],
  directory: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const tree of trees) {
    const node = await tree?.lookup(directory, signal);
    if (tree === undefined || node?.inode.type !== 'directory') continue;
    for await (const entry of tree.readDirectory(node, signal)) {
      if (entry.node.inode.type !== 'directory') names.add(entry.name);
    }
  }
  return names;
}

function quoted(path: string): string {
  const text = `/${Buffer.from(path, 'latin1').toString('utf8')}`;
  return /^[\w./@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
