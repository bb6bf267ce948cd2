import path from 'node:path';
import { isDigest, type Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { FuseSession } from '../host/fuse/negotiate.ts';
import { parseFarPlace, type FarPlace } from './far-place.ts';

/** A blob that is served under a name. */
export interface BlobToServe {
  readonly name: string;
  /** Its file on this machine; of a blob that is fetched as it is read, where it lies once it is complete. */
  readonly path: AbsPath;
  /** Where it is fetched from; absent for a file. */
  readonly far?: FarPlace;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Root hash of the blob's verity tree; without it the whole blob is read and checked before the mount. */
  readonly verityRoot?: string;
  /** Serves the file as it is, to the length that it has. */
  readonly unchecked?: boolean;
}

/** Everything that a server needs to know of one mount; JSON. Paths are absolute. */
export interface ServeSpec {
  /** An existing directory, outside of every path below. */
  readonly target: AbsPath;
  readonly blobs: readonly BlobToServe[];
  /** Errors, one JSON object a line, appended. */
  readonly logFile: AbsPath;
  /** `ServerState` as JSON for as long as the mount is served. */
  readonly stateFile: AbsPath;
  /** What takes the mount away when the server is told to end. */
  readonly unmountWith: 'umount' | 'fusermount3';
  /** After SIGTERM to the server: how long those who still have files open are served, in milliseconds. */
  readonly drainMs: number;
}

/** What the state file says of a mount; written before anything is answered. */
export interface ServerState {
  readonly pid: number;
  /** The process that becomes the next server where this one is killed; absent where there is none. */
  readonly keeper?: number;
  /** Whoever takes over serves by it. */
  readonly spec: ServeSpec;
  /** Once kernel and server have agreed; whoever takes over must keep to it. */
  readonly session?: FuseSession;
}

export const MAX_SPEC_BYTES = 16 * 1024 * 1024;

/** Parses what a server was sent. Throws `invalid-input` naming the member that is wrong. */
export function parseServeSpec(text: string): ServeSpec {
  if (text.length > MAX_SPEC_BYTES) throw wrong('length');
  return asSpec(parseJson(text));
}

function asSpec(value: unknown): ServeSpec {
  const spec = asRecord(value, 'top level');
  if (!Array.isArray(spec['blobs'])) throw wrong('blobs');
  return {
    target: asPath(spec['target'], 'target'),
    blobs: spec['blobs'].map(parseBlob),
    logFile: asPath(spec['logFile'], 'logFile'),
    stateFile: asPath(spec['stateFile'], 'stateFile'),
    unmountWith: spec['unmountWith'] === 'fusermount3' ? 'fusermount3' : 'umount',
    drainMs: asSize(spec['drainMs'], 'drainMs'),
  };
}

/**
 * What a mount is and what the server before agreed on with the kernel, from the state file that it left behind. Throws
 * `invalid-input` where the session cannot be followed.
 */
export function parseLeftState(text: string): { readonly spec: ServeSpec; readonly session: FuseSession } {
  const state = asRecord(parseJson(text), 'state');
  const session = asRecord(state['session'], 'session');
  if (session['canResend'] !== true) throw wrong('session.canResend');
  return {
    spec: asSpec(state['spec']),
    session: {
      minor: asSize(session['minor'], 'session.minor'),
      maxReadBytes: asSize(session['maxReadBytes'], 'session.maxReadBytes'),
      maxReadaheadBytes: asSize(session['maxReadaheadBytes'], 'session.maxReadaheadBytes'),
      canResend: true,
    },
  };
}

function parseBlob(value: unknown, index: number): BlobToServe {
  const at = `blobs[${index}]`;
  const blob = asRecord(value, at);
  const { name, digest, verityRoot } = blob;
  if (typeof name !== 'string') throw wrong(`${at}.name`);
  if (!isDigest(digest)) throw wrong(`${at}.digest`);
  if (verityRoot !== undefined && (typeof verityRoot !== 'string' || !/^[0-9a-f]{64}$/.test(verityRoot))) {
    throw wrong(`${at}.verityRoot`);
  }
  return {
    name,
    path: asPath(blob['path'], `${at}.path`),
    digest,
    sizeBytes: asSize(blob['sizeBytes'], `${at}.sizeBytes`),
    ...(verityRoot === undefined ? {} : { verityRoot }),
    ...(blob['far'] === undefined ? {} : { far: parseFarPlace(blob['far']) }),
    unchecked: blob['unchecked'] === true,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StkError('invalid-input', 'the settings of the file server are not JSON', { cause });
  }
}

function asRecord(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(what);
  return value as Readonly<Record<string, unknown>>;
}

function asPath(value: unknown, what: string): AbsPath {
  if (typeof value !== 'string' || !path.isAbsolute(value) || value.includes('\0')) throw wrong(what);
  return path.normalize(value) as AbsPath;
}

function asSize(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(what);
  return value;
}

function wrong(what: string): StkError {
  return new StkError('invalid-input', `the settings of the file server are wrong: ${what}`);
}
