import { createHash } from 'node:crypto';
import path from 'node:path';
import { StkError } from '../core/errors.ts';
import { hostBytes, hostText } from '../core/host-text.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { DEATHS, KEPT_DEVICES } from '../host/fuse/keep-server.ts';
import { toolEnvironment } from '../host/tool-path.ts';

/** Variable with the settings of a server, JSON. */
const SETTINGS = 'STK_SERVE';
/** One waits for all devices, the others read blobs. */
const THREADS = 8;
/** A server that nobody needs stays for so long, as the next mount would have to wait for the start of another. */
export const IDLE_MS = 10_000;

/** What a server process is started with. */
export interface ServerSettings {
  /** What it listens on. */
  readonly socket: AbsPath;
  /** Of the socket in the filesystem: another server may have taken the name. */
  readonly inode: number;
  /** Where its standard streams go; removed at its end if nothing is in it. */
  readonly log: AbsPath;
  /** How long it stays without a mount. */
  readonly idleMs: number;
}

/** What a server finds that goes on in the place of one that was killed. */
export interface TakenOver {
  /** How many in a row died soon before it. */
  readonly deaths: number;
  /** Inherited devices, by the state files of their mounts. */
  readonly devices: ReadonlyMap<string, number>;
}

/** Program and build of a server: another one keeps to other rules, and never serves for this one. */
export interface ServerProgram {
  /** Program and arguments, absolute, that run `runServer`. */
  readonly command: readonly string[];
  /** Whatever tells one build from another. */
  readonly build: string;
}

/** Socket and log of the server of a program that keeps its mounts' states in a directory. */
export function serverPlaces(
  directory: AbsPath,
  { command, build }: ServerProgram,
): { readonly socket: AbsPath; readonly log: AbsPath } {
  const mark = createHash('sha256')
    .update(JSON.stringify([build, ...command]))
    .digest('hex')
    .slice(0, 16);
  return { socket: joinInside(directory, `server-${mark}.sock`), log: joinInside(directory, `server-${mark}.log`) };
}

/** The whole environment of a server, and of its keeper. */
export function serverEnvironment(settings: ServerSettings): Record<string, string> {
  return toolEnvironment({
    UV_THREADPOOL_SIZE: String(THREADS),
    PERL_BADLANG: '0',
    [SETTINGS]: JSON.stringify(settings),
  });
}

/** Takes apart what `serverEnvironment` and a keeper made. Throws `invalid-input`. */
export function readServerEnvironment(environment: Readonly<Record<string, string | undefined>>): {
  readonly settings: ServerSettings;
  readonly taken: TakenOver;
} {
  const { socket, inode, log, idleMs } = parse(environment[SETTINGS]) as Readonly<Record<string, unknown>>;
  if (!isPath(socket) || !isPath(log) || ![inode, idleMs].every(Number.isSafeInteger)) throw wrong();
  const devices = new Map<string, number>();
  for (const word of (environment[KEPT_DEVICES] ?? '').split(' ')) {
    const [name, fd] = word.split('=');
    if (name && /^\d+$/.test(fd ?? '')) devices.set(hostText(Buffer.from(name, 'base64url')), Number(fd));
  }
  const settings = { socket, inode: inode as number, log, idleMs: idleMs as number };
  return { settings, taken: { deaths: Number(environment[DEATHS] ?? 0), devices } };
}

/** A state file as a keeper's name for the device of its mount. */
export function keptName(stateFile: string): string {
  return hostBytes(stateFile).toString('base64url');
}

function isPath(value: unknown): value is AbsPath {
  return typeof value === 'string' && path.isAbsolute(value);
}

function parse(text: string | undefined): object {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw wrong();
}

function wrong(): StkError {
  return new StkError('invalid-input', 'a server was started without settings: stk mount starts it');
}
