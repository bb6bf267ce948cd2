import { posix } from 'node:path';
import { imagePath } from '../core/paths.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import type { DirectoryAttributes } from '../layer/lower-tree.ts';
import { isMapped, type IdMappings } from './runtime-spec-ids.ts';

/** A mount of the runtime specification (config.md, "Mounts"). */
export interface SpecMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Directories that the default mounts need in the root; all others lie in filesystems mounted there. */
export const MOUNT_POINTS: readonly string[] = ['/proc', '/dev', '/sys'];

/** Group `tty` of the usual distributions, which owns terminals. */
const TTY_GID = 5;

const HARMLESS = ['nosuid', 'noexec', 'nodev'] as const;

/** Filesystems that every Linux container has (runtime-spec, config-linux.md, "Default Filesystems"). */
export function defaultMounts(mappings: IdMappings | undefined): readonly SpecMount[] {
  const hasTty = mappings === undefined || isMapped(mappings.gids, TTY_GID);
  return [
    mount('/proc', 'proc', 'proc', []),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', [
      ...['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      ...(hasTty ? [`gid=${TTY_GID}`] : []),
    ]),
    mount('/dev/shm', 'tmpfs', 'shm', [...HARMLESS, 'mode=1777', 'size=65536k']),
    mount('/dev/mqueue', 'mqueue', 'mqueue', HARMLESS),
    ...(mappings
      ? // A new sysfs needs a network namespace; the host's own is bound instead.
        [mount('/sys', 'none', '/sys', ['rbind', ...HARMLESS, 'ro'])]
      : [
          mount('/sys', 'sysfs', 'sysfs', [...HARMLESS, 'ro']),
          mount('/sys/fs/cgroup', 'cgroup', 'cgroup', [...HARMLESS, 'relatime', 'ro']),
        ]),
  ];
}

/**
 * Where an image wants volumes: absolute and canonical, outer ones first. The root itself and places inside the default
 * mounts are left out: a volume there would hide the image, or the kernel's own filesystems.
 */
export function volumePaths(image: ImageConfig): readonly string[] {
  const paths = new Set<string>();
  for (const name of Object.keys(image.config?.Volumes ?? {})) {
    const path = posix.join('/', imagePath(name));
    if (path === '/' || path.includes('\0')) continue;
    if (!MOUNT_POINTS.some(point => path === point || path.startsWith(`${point}/`))) paths.add(path);
  }
  return [...paths].sort();
}

export interface VolumeParts {
  /** Of the image's own directory, where it has one. */
  readonly attributes?: Pick<DirectoryAttributes, 'mode' | 'uid' | 'gid'> | undefined;
  readonly mappings?: IdMappings | undefined;
  /** Whether it begins with what the image has there. */
  readonly filled: boolean;
}

/** A volume as memory that lives as long as the container. */
export function volumeMount(destination: string, { attributes, mappings, filled }: VolumeParts): SpecMount {
  const options = [
    'nosuid',
    'nodev',
    ...(filled ? ['tmpcopyup'] : []),
    `mode=${(attributes?.mode ?? 0o755).toString(8)}`,
  ];
  if (attributes && (!mappings || isMapped(mappings.uids, attributes.uid))) options.push(`uid=${attributes.uid}`);
  if (attributes && (!mappings || isMapped(mappings.gids, attributes.gid))) options.push(`gid=${attributes.gid}`);
  return mount(destination, 'tmpfs', 'tmpfs', options);
}

function mount(destination: string, type: string, source: string, options: readonly string[]): SpecMount {
  return { destination, type, source, options };
}
