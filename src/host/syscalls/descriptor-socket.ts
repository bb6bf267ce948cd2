import os from 'node:os';
import { StkError } from '../../core/errors.ts';
import { closeSync } from '../files.ts';
import { syscallFailure } from './failure.ts';
import { addressOf, nativeFunction } from './native.ts';

const socketpair = nativeFunction('socketpair', 'int', ['int', 'int', 'int', 'void *']);
const recvmsg = nativeFunction('recvmsg', 'long', ['int', 'void *', 'int']);

/** Values of Linux for the architectures that Node runs on; MIPS alone has others. */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

const { EAGAIN } = os.constants.errno;

/** Of pointers and of `size_t`, in bytes. */
const WORD = process.arch === 'arm' || process.arch === 'ia32' ? 4 : 8;

/** A pair of connected sockets, one of which is to be handed to a program that sends a descriptor over it. */
export interface DescriptorSocket extends Disposable {
  /** The other end, for the program. */
  readonly peer: number;
  /**
   * The descriptor that was sent, closed on exec; the caller's from here on. Call it once the program has ended: it does
   * not wait. `undefined` where none was sent.
   */
  receive(): number | undefined;
}

/** Opens the pair (socketpair(2)); both ends are closed on exec. */
export function openDescriptorSocket(): DescriptorSocket {
  const ends = Buffer.alloc(8);
  const { errno } = socketpair.call(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
  if (errno !== 0) throw syscallFailure({ call: 'socketpair', errno });
  const [own, peer] = [ends.readInt32LE(0), ends.readInt32LE(4)];
  let isOpen = true;
  return {
    peer,
    receive: () => receiveDescriptor(own),
    [Symbol.dispose]() {
      if (!isOpen) return;
      isOpen = false;
      closeSync(own);
      closeSync(peer);
    },
  };
}

/** Of a `struct msghdr`, a `struct iovec`, and a control message with room for one descriptor, one behind the other. */
const VECTOR_AT = 7 * WORD;
const CONTROL_AT = VECTOR_AT + 2 * WORD;
/** Not padded (CMSG_LEN): else the kernel would put two descriptors into it. */
const CONTROL_BYTES = WORD + 8 + 4;
const DATA_AT = CONTROL_AT + WORD + 8 + WORD;

/** recvmsg(2) of one byte and one descriptor (unix(7), SCM_RIGHTS; cmsg(3)). All is in one piece, which lives as long. */
function receiveDescriptor(socket: number): number | undefined {
  const message = Buffer.alloc(DATA_AT + WORD);
  const address = addressOf(message);
  writeWord(message, 2 * WORD, address + BigInt(VECTOR_AT));
  writeWord(message, 3 * WORD, 1n);
  writeWord(message, 4 * WORD, address + BigInt(CONTROL_AT));
  writeWord(message, 5 * WORD, BigInt(CONTROL_BYTES));
  writeWord(message, VECTOR_AT, address + BigInt(DATA_AT));
  writeWord(message, VECTOR_AT + WORD, 1n);
  const { value, errno } = recvmsg.call(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (value < 0 && errno === EAGAIN) return undefined;
  if (value < 0) throw syscallFailure({ call: 'recvmsg', errno, attempt: 'receive a descriptor' });
  if (readWord(message, 5 * WORD) < WORD + 12) return undefined;
  const [level, type, fd] = [0, 4, 8].map(at => message.readInt32LE(CONTROL_AT + WORD + at));
  if (level === SOL_SOCKET && type === SCM_RIGHTS) return fd;
  throw new StkError('tool-failed', 'something else than a descriptor was sent over a socket');
}

/** koffi knows no big-endian machine. */
function writeWord(target: Buffer, at: number, value: bigint): void {
  if (WORD === 8) target.writeBigUInt64LE(value, at);
  else target.writeUInt32LE(Number(value), at);
}

function readWord(source: Buffer, at: number): number {
  return WORD === 8 ? Number(source.readBigUInt64LE(at)) : source.readUInt32LE(at);
}
