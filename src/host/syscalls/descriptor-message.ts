import os from 'node:os';
import { StkError } from '../../core/errors.ts';
import { syscallFailure } from './failure.ts';
import { addressOf, nativeFunction } from './native.ts';

const recvmsg = nativeFunction('recvmsg', 'long', ['int', 'void *', 'int']);
const sendmsg = nativeFunction('sendmsg', 'long', ['int', 'void *', 'int']);

/** Values of Linux for the architectures that Node runs on; MIPS alone has others. */
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

const { EAGAIN } = os.constants.errno;

/** Of pointers and of `size_t`, in bytes. */
const WORD = process.arch === 'arm' || process.arch === 'ia32' ? 4 : 8;
/** Of a `struct msghdr`, a `struct iovec`, and a control message with room for one descriptor, one behind the other. */
const VECTOR_AT = 7 * WORD;
const CONTROL_AT = VECTOR_AT + 2 * WORD;
/** Not padded (CMSG_LEN): else the kernel would put two descriptors into it. */
const CONTROL_BYTES = WORD + 8 + 4;
const DATA_AT = CONTROL_AT + WORD + 8 + WORD;

/** What came in one piece: bytes, none of them at the end of the stream, and a descriptor, the receiver's from here on. */
export interface ReceivedMessage {
  readonly bytes: Buffer;
  readonly fd: number | undefined;
}

/**
 * recvmsg(2) of up to so many bytes and one descriptor (unix(7), SCM_RIGHTS; cmsg(3)), which is closed on exec. It does
 * not wait: `undefined` where there is nothing yet.
 */
export function receiveMessage(socket: number, maxBytes: number): ReceivedMessage | undefined {
  const message = makeMessage(maxBytes);
  const { value, errno } = recvmsg.call(socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (value < 0 && errno === EAGAIN) return undefined;
  if (value < 0) throw syscallFailure({ call: 'recvmsg', errno, attempt: 'receive a descriptor' });
  const bytes = message.subarray(DATA_AT, DATA_AT + value);
  if (readWord(message, 5 * WORD) < WORD + 12) return { bytes, fd: undefined };
  const [level, type, fd] = [0, 4, 8].map(at => message.readInt32LE(CONTROL_AT + WORD + at));
  if (level === SOL_SOCKET && type === SCM_RIGHTS) return { bytes, fd };
  throw new StkError('tool-failed', 'something else than a descriptor was sent over a socket');
}

/** sendmsg(2) of a few bytes, and a descriptor with the first of them, which stays the sender's. */
export function sendMessage(socket: number, bytes: Buffer, fd: number | undefined): void {
  const message = makeMessage(bytes.length);
  bytes.copy(message, DATA_AT);
  if (fd === undefined) {
    writeWord(message, 4 * WORD, 0n);
    writeWord(message, 5 * WORD, 0n);
  } else {
    writeWord(message, CONTROL_AT, BigInt(CONTROL_BYTES));
    [SOL_SOCKET, SCM_RIGHTS, fd].forEach((value, index) => {
      message.writeInt32LE(value, CONTROL_AT + WORD + 4 * index);
    });
  }
  const { value, errno } = sendmsg.call(socket, message, MSG_NOSIGNAL);
  if (value < 0) throw syscallFailure({ call: 'sendmsg', errno, attempt: 'send a descriptor' });
  if (value !== bytes.length) throw new StkError('tool-failed', 'a message was sent in part');
}

/** All is in one piece, which lives for as long as the call. */
function makeMessage(dataBytes: number): Buffer {
  const message = Buffer.alloc(DATA_AT + Math.max(dataBytes, WORD));
  const address = addressOf(message);
  writeWord(message, 2 * WORD, address + BigInt(VECTOR_AT));
  writeWord(message, 3 * WORD, 1n);
  writeWord(message, 4 * WORD, address + BigInt(CONTROL_AT));
  writeWord(message, 5 * WORD, BigInt(CONTROL_BYTES));
  writeWord(message, VECTOR_AT, address + BigInt(DATA_AT));
  writeWord(message, VECTOR_AT + WORD, BigInt(dataBytes));
  return message;
}

/** koffi knows no big-endian machine. */
function writeWord(target: Buffer, at: number, value: bigint): void {
  if (WORD === 8) target.writeBigUInt64LE(value, at);
  else target.writeUInt32LE(Number(value), at);
}

function readWord(source: Buffer, at: number): number {
  return WORD === 8 ? Number(source.readBigUInt64LE(at)) : source.readUInt32LE(at);
}
