import { closeSync } from '../files.ts';
import { receiveMessage } from './descriptor-message.ts';
import { syscallFailure } from './failure.ts';
import { nativeFunction } from './native.ts';

const socketpair = nativeFunction('socketpair', 'int', ['int', 'int', 'int', 'void *']);

/** Values of Linux for the architectures that Node runs on; MIPS alone has others. */
const AF_UNIX = 1;
const KINDS = { stream: 1, packets: 5 } as const;
const SOCK_CLOEXEC = 0o2000000;

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

/** Opens such a pair. */
export function openDescriptorSocket(): DescriptorSocket {
  const [own, peer] = openSocketPair('stream');
  let isOpen = true;
  return {
    peer,
    receive: () => receiveMessage(own, 1)?.fd,
    [Symbol.dispose]() {
      if (!isOpen) return;
      isOpen = false;
      closeSync(own);
      closeSync(peer);
    },
  };
}

/** Two connected sockets (socketpair(2)), both closed on exec; the caller's. Packets keep what is sent at once together. */
export function openSocketPair(kind: keyof typeof KINDS): readonly [number, number] {
  const ends = Buffer.alloc(8);
  const { errno } = socketpair.call(AF_UNIX, KINDS[kind] | SOCK_CLOEXEC, 0, ends);
  if (errno !== 0) throw syscallFailure({ call: 'socketpair', errno });
  return [ends.readInt32LE(0), ends.readInt32LE(4)];
}
