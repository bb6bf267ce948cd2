import { posix } from 'node:path';
import { imagePath } from '../core/paths.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import { MASKED_PATHS, READONLY_PATHS } from '../sandbox/protected-paths.ts';
import type { ProcessUser } from './bundle-user.ts';
import { DEFAULT_PATH, assertNoNul, containerCommand } from './run-settings.ts';
import { imageAnnotations } from './runtime-spec-annotations.ts';
import type { IdMappings } from './runtime-spec-ids.ts';
import { seccompSpec } from './runtime-spec-seccomp.ts';
import { defaultMounts, type SpecMount } from './runtime-spec-mounts.ts';

/** `config.json` of a bundle (runtime-spec 1.0, config.md), as far as it is written here. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: SpecProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname: string;
  readonly mounts: readonly SpecMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: object;
}

export interface SpecProcess {
  readonly terminal: boolean;
  readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids?: readonly number[] };
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: Readonly<Record<string, readonly string[]>>;
  readonly noNewPrivileges: boolean;
}

export interface SpecParts {
  readonly image: ImageConfig;
  readonly user: ProcessUser;
  /** Takes the place of the image's `Cmd`. */
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly readonlyRoot: boolean;
  readonly hostname: string;
  /** Mounts of the image's volumes. */
  readonly volumes: readonly SpecMount[];
  /** Present for a container that an ordinary user starts: it gets a user namespace, and no cgroups of its own. */
  readonly mappings?: IdMappings | undefined;
}

/** What engines grant by default: enough for package managers and for servers that give up root. */
const CAPABILITIES: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/**
 * A runtime configuration for an image, by the rules of image-spec, conversion.md; what the image does not say is as the
 * runtimes' own template has it. Throws `invalid-input` for a configuration that nothing can run, `usage` where it names
 * no command.
 */
export function runtimeSpec(parts: SpecParts): RuntimeSpec {
  const { image, user, mappings } = parts;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: parts.terminal,
      user: {
        uid: user.uid,
        gid: user.gid,
        ...(user.additionalGids.length > 0 ? { additionalGids: user.additionalGids } : {}),
      },
      args: containerCommand(image, { command: parts.command, entrypoint: undefined }, NO_COMMAND),
      env: environmentOf(image, parts.terminal),
      cwd: workingDirectory(image),
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: parts.readonlyRoot },
    hostname: parts.hostname,
    mounts: [...defaultMounts(mappings), ...parts.volumes],
    annotations: imageAnnotations(image),
    linux: {
      ...(mappings
        ? { uidMappings: mappings.uids, gidMappings: mappings.gids }
        : { resources: { devices: [{ allow: false, access: 'rwm' }] } }),
      namespaces: namespaces(mappings !== undefined).map(type => ({ type })),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
      seccomp: seccompSpec(),
    },
  };
}

/** Canonical and absolute, as `process.cwd` must be. */
export function workingDirectory(image: ImageConfig): string {
  return posix.join('/', imagePath(image.config?.WorkingDir ?? ''));
}

const NO_COMMAND = 'give one behind two dashes: stk bundle REF DIR -- COMMAND ARG…';

/** An ordinary user could not configure a network of its own; the host's is all it can have without a helper. */
function namespaces(ordinaryUser: boolean): readonly string[] {
  return ordinaryUser ? ['pid', 'ipc', 'uts', 'mount', 'user'] : ['pid', 'network', 'ipc', 'uts', 'mount'];
}

function environmentOf(image: ImageConfig, terminal: boolean): readonly string[] {
  // Without `=` an entry sets nothing, and runtimes refuse it.
  const entries = (image.config?.Env ?? []).filter(entry => entry.indexOf('=') > 0);
  assertNoNul('environment', entries);
  const has = (name: string) => entries.some(entry => entry.startsWith(`${name}=`));
  return [
    ...(has('PATH') ? [] : [`PATH=${DEFAULT_PATH}`]),
    ...(terminal && !has('TERM') ? ['TERM=xterm'] : []),
    ...entries,
  ];
}
