import type { MergeContext } from '../driver.ts';

/** A file that a program of the image makes of others, and how. */
interface GeneratedFile {
  readonly pattern: RegExp;
  /** Where distributions keep the program, without a leading slash; `$1` is the pattern's first group. */
  readonly tools: readonly string[];
  readonly args: readonly string[];
}

/** Debian's directories of libraries by architecture, for tools that lie there. */
const TRIPLETS = [
  'x86_64-linux-gnu',
  'aarch64-linux-gnu',
  'arm-linux-gnueabihf',
  'arm-linux-gnueabi',
  'i386-linux-gnu',
  'powerpc64le-linux-gnu',
  'riscv64-linux-gnu',
  's390x-linux-gnu',
] as const;

const FILES: readonly GeneratedFile[] = [
  { pattern: /^etc\/ld\.so\.cache$/, tools: ['sbin/ldconfig', 'usr/sbin/ldconfig', 'usr/bin/ldconfig'], args: [] },
  {
    pattern:
      /^usr\/share\/mime\/(?:mime\.cache|globs2?|magic|aliases|subclasses|generic-icons|icons|treemagic|types|version|XMLnamespaces|(?!packages\/)[^/]+\/[^/]+\.xml)$/,
    tools: ['usr/bin/update-mime-database'],
    args: ['/usr/share/mime'],
  },
  {
    pattern: /^usr\/share\/applications\/mimeinfo\.cache$/,
    tools: ['usr/bin/update-desktop-database'],
    args: ['/usr/share/applications'],
  },
  {
    pattern: /^usr\/share\/glib-2\.0\/schemas\/gschemas\.compiled$/,
    tools: [
      'usr/bin/glib-compile-schemas',
      ...TRIPLETS.map(triplet => `usr/lib/${triplet}/glib-2.0/glib-compile-schemas`),
    ],
    args: ['/usr/share/glib-2.0/schemas'],
  },
  {
    pattern: /^(usr\/lib(?:64|\/[^/]+)?)\/gdk-pixbuf-2\.0\/[^/]+\/loaders\.cache$/,
    tools: [
      '$1/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders',
      'usr/bin/gdk-pixbuf-query-loaders-64',
      'usr/bin/gdk-pixbuf-query-loaders',
    ],
    args: ['--update-cache'],
  },
  {
    pattern: /^(usr\/lib(?:64|\/[^/]+)?)\/gio\/modules\/giomodule\.cache$/,
    tools: ['$1/glib-2.0/gio-querymodules', 'usr/bin/gio-querymodules-64', 'usr/bin/gio-querymodules'],
    args: ['/$1/gio/modules'],
  },
  {
    pattern: /^(usr\/lib(?:64|\/[^/]+)?)\/gtk-3\.0\/3\.0\.0\/immodules\.cache$/,
    tools: [
      '$1/libgtk-3-0/gtk-query-immodules-3.0',
      'usr/bin/gtk-query-immodules-3.0-64',
      'usr/bin/gtk-query-immodules-3.0',
    ],
    args: ['--update-cache'],
  },
  {
    pattern: /^usr\/lib\/locale\/locale-archive$/,
    tools: ['usr/sbin/locale-gen', 'usr/sbin/build-locale-archive'],
    args: [],
  },
  {
    pattern:
      /^(?:usr\/)?lib\/modules\/([^/]+)\/modules\.(?:dep|alias|symbols|softdep|weakdep|devname|builtin\.alias)(?:\.bin)?$/,
    tools: ['sbin/depmod', 'usr/sbin/depmod', 'usr/bin/depmod'],
    args: ['-a', '$1'],
  },
  {
    pattern: /^etc\/udev\/hwdb\.bin$/,
    tools: ['usr/bin/systemd-hwdb', 'bin/systemd-hwdb'],
    args: ['update'],
  },
  {
    pattern: /^usr\/lib\/udev\/hwdb\.bin$/,
    tools: ['usr/bin/systemd-hwdb', 'bin/systemd-hwdb'],
    args: ['--usr', 'update'],
  },
  { pattern: /^etc\/pki\/ca-trust\/extracted\/(?:java|edk2)\/.+$/, tools: ['usr/bin/update-ca-trust'], args: [] },
  { pattern: /^usr\/share\/info\/dir$/, tools: ['usr/sbin/update-info-dir', 'usr/bin/update-info-dir'], args: [] },
];

/** Whether one of the programs of the table makes this file. */
export function hasTool(path: string): boolean {
  return FILES.some(({ pattern }) => pattern.test(path));
}

export interface ToolSearch {
  /** What to run; `undefined`: the merged tree has none of the programs. */
  readonly command: readonly string[] | undefined;
  /** Base name of the program. */
  readonly name: string;
}

/** The command that makes a file anew, as far as the merged tree has it; `undefined` for files that are not in the table. */
export async function findTool(path: string, context: MergeContext): Promise<ToolSearch | undefined> {
  const file = FILES.find(({ pattern }) => pattern.test(path));
  if (file === undefined) return undefined;
  const group = file.pattern.exec(path)?.[1] ?? '';
  const expand = (text: string) => text.replaceAll('$1', () => group);
  const tools = file.tools.map(expand);
  const name = tools[0]!.slice(tools[0]!.lastIndexOf('/') + 1);
  for (const tool of tools) {
    if (await staysIn(tool, context)) return { command: [`/${tool}`, ...file.args.map(expand)], name };
  }
  return { command: undefined, name };
}

/** Whether the merged tree will have a program: the ancestor's that nobody deleted, or one that a side brought. */
async function staysIn(path: string, context: MergeContext): Promise<boolean> {
  const { ancestor, sides } = await context.versionsOf(path);
  const has = ({ node }: (typeof sides)[number]) => node?.inode.type === 'file' || node?.inode.type === 'symlink';
  return ancestor.node === undefined ? sides.some(has) : sides.every(has);
}
