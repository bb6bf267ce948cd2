import net from 'node:net';
import { errnoOf } from '../core/errors.ts';

/** A connection over which lines come. */
export interface LineConnection extends Disposable {
  write(bytes: Uint8Array): void;
  /** Lines as they come, to the end of the connection, however that comes. */
  lines(): AsyncGenerator<string, void>;
}

/** Takes over the descriptor of a connected socket; the connection ends when `signal` fires, too. */
export function openLineConnection(fd: number, signal: AbortSignal): LineConnection {
  const socket = new net.Socket({ fd });
  const stop = () => socket.destroy();
  socket.on('error', () => {});
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  return {
    write: bytes => void socket.write(bytes),
    lines: () => linesOf(socket),
    [Symbol.dispose]() {
      signal.removeEventListener('abort', stop);
      socket.destroy();
    },
  };
}

async function* linesOf(socket: net.Socket): AsyncGenerator<string, void> {
  let rest = '';
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      const lines = `${rest}${chunk.toString()}`.split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
