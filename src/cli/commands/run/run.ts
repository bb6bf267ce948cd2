import path from 'node:path';
import { StkError, messageOf } from '../../../core/errors.ts';
import { absPath, imagePath, joinInside, type AbsPath } from '../../../core/paths.ts';
import {
  containersHome,
  createContainer,
  hasContainer,
  openContainer,
  type Container,
} from '../../../container/container-record.ts';
import type { HostMount } from '../../../container/place-mounts.ts';
import { runContainer } from '../../../container/run-container.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import { readLayeredImage } from '../../../mount/image-layers.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { assertInLayout } from '../../../stores/image-stores.ts';
import type { Session } from '../../session.ts';
import { imageName } from '../images/image-names.ts';
import { mountRequest, sayWarnings, type MountFlags } from '../mount/mount.ts';
import { hostnameLike } from '../../../container/host-name.ts';

export interface RunFlags extends Omit<MountFlags, 'rw' | 'upper'> {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly volume: readonly string[];
  readonly tmpfs: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly network: string;
  readonly hostname?: string;
  readonly entrypoint?: string;
  readonly name?: string;
  readonly keep?: boolean;
  readonly rm?: boolean;
}

/** `stk run REF [COMMAND…]`: returns the command's exit status. */
export async function runRun(
  session: Session,
  ref: string,
  command: readonly string[],
  flags: RunFlags,
): Promise<number> {
  const wanted = imageName(ref, flags);
  if (wanted.kind === 'archive') assertInLayout(wanted, 'images run from a layout or a registry');
  if (flags.network !== 'host' && flags.network !== 'none') {
    throw new StkError('usage', `--network ${flags.network}: a network is host or none`);
  }
  const goesOn = flags.name !== undefined && (await hasContainer(containersHome(session.global.stkDir), flags.name));
  const keeps = flags.keep === true || goesOn;
  if (keeps && flags.readOnly)
    throw new StkError('usage', 'a container that is kept and --read-only exclude each other');
  if (keeps && flags.rm) {
    throw new StkError('usage', 'a container that is kept and --rm exclude each other', {
      hint: 'stk rm NAME removes a container that was kept',
    });
  }
  if (flags.keep && flags.name === undefined) {
    throw new StkError('usage', '--keep needs a name', {
      hint: 'add --name NAME: stk commit and stk run find it by that',
    });
  }
  const settings = {
    command,
    entrypoint: flags.entrypoint,
    environment: await environmentOf(session, flags),
    user: flags.user,
    workingDirectory: flags.workdir === undefined ? undefined : containerPath('-w', flags.workdir),
    hostname: hostnameLike(flags.hostname ?? flags.name ?? 'stk', 'stk'),
    tty: flags.tty === true,
    term: session.environment['TERM'],
  };
  const mounts = flags.volume.map(text => parseVolume(text, session.workingDirectory));
  const tmpfs = flags.tmpfs.map(text => containerPath('--tmpfs', text));
  session.view.statusStands = true;
  const privileges = await readPrivileges();
  if (!privileges.canMount && !session.inside) {
    // With this process ends everything inside.
    onSecondSignal(() => process.exit(137));
    return session.enter();
  }
  const insist = new AbortController();
  onSecondSignal(() => insist.abort());
  const rootless = !privileges.initialUserNamespace;
  // Containers that start beside each other wait for each other, for a moment: that is no news.
  const request = { ...(await mountRequest(session, ref, { ...flags, readOnly: false })), onWait: () => {} };
  const kept = keeps ? await keep(session, { name: flags.name!, ref, rootless, command }, request) : undefined;
  const record = kept?.record;
  return runContainer({
    ...request,
    ...(record ? { layout: await LayoutStore.open(record.layout), tag: record.tag, digest: record.digest } : {}),
    home: session.inside ? undefined : await stateHome(session.environment, privileges),
    directory: joinInside(session.global.stkDir, 'run'),
    settings,
    mounts,
    tmpfs,
    network: flags.network,
    readOnly: flags.readOnly === true,
    upper: kept?.upper,
    rootless,
    stdin: flags.interactive === true,
    insist: insist.signal,
    onMounted: mounted => sayWarnings(session, { warnings: [...request.imageWarnings, ...mounted.warnings] }),
    onLeftover: (directory, error) => {
      const warning = `what a killed run left in ${directory} cannot be cleared away now: ${messageOf(error)}`;
      sayWarnings(session, { warnings: [warning] });
    },
  });
}

/** The first one goes to the container; who sends another does not want to wait for it. */
function onSecondSignal(end: () => void): void {
  let count = 0;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (++count === 2) end();
    });
  }
}

interface KeptRun {
  readonly name: string;
  /** What the user named the image by. */
  readonly ref: string;
  readonly rootless: boolean;
  readonly command: readonly string[];
}

/** The container of this name, which goes on where it ended, or a new one. */
async function keep(
  session: Session,
  { name, ref, rootless, command }: KeptRun,
  request: Awaited<ReturnType<typeof mountRequest>>,
): Promise<Container> {
  const { scope } = session;
  const home = containersHome(session.global.stkDir);
  const { digest } = await readLayeredImage(request);
  if (await hasContainer(home, name)) {
    const container = scope.use(
      await openContainer(home, name, { mode: 'exclusive', rootless, signal: session.signal }),
    );
    if (container.record.digest === digest) return container;
    throw new StkError('conflict', `container ${name} was made of another image than ${ref}`, {
      hint: `commit it with stk commit ${name} TAG, or remove it with stk rm ${name}`,
      facts: { name, digest: container.record.digest },
    });
  }
  const { layout, tag } = request;
  const createdAt = new Date().toISOString();
  return scope.use(
    await createContainer(home, { name, layout: layout.directory, tag, digest, rootless, command, createdAt }),
  );
}

/** `-e NAME=VALUE`, `-e NAME` for the caller's own value, and files of such lines; later ones win. */
async function environmentOf(session: Session, flags: RunFlags): Promise<Record<string, string>> {
  const entries: string[] = [];
  for (const name of flags.envFile) {
    const file = absPath(name, session.workingDirectory);
    const bytes = await session.given.read(file).catch((cause: unknown) => {
      throw new StkError('not-found', `cannot read ${file}`, { cause, facts: { path: file } });
    });
    entries.push(
      ...bytes
        .toString('utf8')
        .split('\n')
        .filter(line => line.trim() !== '' && !line.startsWith('#')),
    );
  }
  const environment: Record<string, string> = {};
  for (const entry of [...entries, ...flags.env]) {
    const [, name, value = session.environment[name!]] = /^([^=\0]+)(?:=([^]*))?$/.exec(entry) ?? [];
    if (name === undefined)
      throw new StkError('usage', `${JSON.stringify(entry)} is no variable`, { hint: 'write -e NAME=VALUE' });
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

/** `SOURCE:TARGET[:ro]`. */
function parseVolume(text: string, workingDirectory: AbsPath): HostMount {
  const [source = '', target = '', mode = 'rw', ...surplus] = text.split(':');
  if (source === '' || target === '' || surplus.length > 0 || !/^r[ow]$/.test(mode)) {
    throw new StkError('usage', `-v ${text}: not SOURCE:TARGET[:ro]`, { hint: 'such as -v ./data:/data:ro' });
  }
  return { source: absPath(source, workingDirectory), target: containerPath('-v', target), readOnly: mode === 'ro' };
}

function containerPath(flag: string, text: string): string {
  if (flag !== '-w' && /^(?:proc|sys|dev)?$/.test(imagePath(text))) {
    throw new StkError('usage', `${flag} ${text}: nothing can be mounted there`, { hint: 'choose another place' });
  }
  if (path.posix.isAbsolute(text) && !text.includes('\0')) return `/${imagePath(text)}`;
  throw new StkError('usage', `${flag} ${text}: the place in the container is an absolute path`);
}
