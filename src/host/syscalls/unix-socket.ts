import os from 'node:os';
import path from 'node:path';
import type { AbsPath } from '../../core/paths.ts';
import { hostBytes } from '../../core/host-text.ts';
import { closeSync, openSync } from '../files.ts';
import { errnoName, syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const socket = nativeFunction('socket', 'int', ['int', 'int', 'int']);
const bind = nativeFunction('bind', 'int', ['int', 'void *', 'uint']);
const listen = nativeFunction('listen', 'int', ['int', 'int']);
const connect = nativeFunction('connect', 'int', ['int', 'void *', 'uint']);
const accept = nativeFunction('accept4', 'int', ['int', 'void *', 'void *', 'int']);
const getsockopt = nativeFunction('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
const fchmod = nativeFunction('fchmod', 'int', ['int', 'uint']);

/** Values of Linux for the architectures that Node runs on; MIPS alone has others. */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PEERCRED = process.arch === 'ppc64' ? 21 : 17;
/** fcntl.h */
const O_PATH = 0o10000000;
const MAX_NAME_BYTES = 64;
/** More than will ever wait: whoever mounts waits for others that do. */
const BACKLOG = 64;

const { EAGAIN, EINTR, ECONNABORTED } = os.constants.errno;

/**
 * A socket that listens below a name in a directory, mode 0600; closed on exec, and does not block. The caller sees to it
 * that nobody else listens there: what has the name must be gone.
 */
export function listenAt(file: AbsPath): number {
  const fd = openSocket(SOCK_NONBLOCK);
  try {
    // The mode that the name gets is the socket's, without the umask.
    check('fchmod', fchmod.call(fd, 0o600), file);
    withAddress(file, address => check('bind', bind.call(fd, address, address.length), file));
    check('listen', listen.call(fd, BACKLOG), file);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A socket connected to whoever listens there, closed on exec; `undefined` where nobody does. The caller's. */
export function connectTo(file: AbsPath): number | undefined {
  const fd = openSocket(0);
  try {
    const { errno } = withAddress(file, address => connect.call(fd, address, address.length));
    if (errno === 0) return fd;
    const name = errnoName(errno);
    if (name !== 'ENOENT' && name !== 'ECONNREFUSED')
      throw syscallFailure({ call: 'connect', errno, attempt: 'connect to', path: file });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

/** The next connection to a listening socket, which does not block; `undefined` where there is none. The caller's. */
export function acceptNow(listening: number): number | undefined {
  for (;;) {
    const { value, errno } = accept.call(listening, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (value >= 0) return value;
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR && errno !== ECONNABORTED) throw syscallFailure({ call: 'accept', errno });
  }
}

/** User id of whoever connected (unix(7), SO_PEERCRED), as the user namespace of this process knows it. */
export function peerUid(connection: number): number {
  const [credentials, length] = [Buffer.alloc(12), Buffer.alloc(4)];
  length.writeUInt32LE(credentials.length);
  check('getsockopt', getsockopt.call(connection, SOL_SOCKET, SO_PEERCRED, credentials, length));
  return credentials.readUInt32LE(4);
}

function openSocket(flags: number): number {
  return check('socket', socket.call(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}

/** By way of the directory's descriptor: an address holds 107 bytes, a directory's name may be longer. */
function withAddress<T>(file: AbsPath, use: (address: Buffer) => T): T {
  const directory = openSync(path.dirname(file), O_PATH);
  try {
    const name = hostBytes(path.basename(file));
    if (name.length > MAX_NAME_BYTES) throw new RangeError(`too long for the name of a socket: ${file}`);
    const text = Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name, Buffer.alloc(1)]);
    const family = Buffer.alloc(2);
    family.writeUInt16LE(AF_UNIX);
    return use(Buffer.concat([family, text]));
  } finally {
    closeSync(directory);
  }
}

function check(
  call: string,
  { value, errno }: { readonly value: number; readonly errno: number },
  path?: string,
): number {
  if (value < 0) throw syscallFailure({ call, errno, ...(path === undefined ? {} : { path }) });
  return value;
}
