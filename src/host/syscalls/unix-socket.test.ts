import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AbsPath } from '../../core/paths.ts';
import { receiveMessage, sendMessage } from './descriptor-message.ts';
import { ReadyFiles } from './epoll.ts';
import { acceptNow, connectTo, listenAt, peerUid } from './unix-socket.ts';

describe('a socket with a name', () => {
  let directory: string;
  let socket: AbsPath;
  const open: number[] = [];
  const opened = (fd: number | undefined) => {
    open.push(fd!);
    return fd!;
  };
  beforeEach(() => {
    // Longer than an address can be.
    directory = mkdtempSync('/var/tmp/stk-socket-');
    const deep = path.join(directory, 'x'.repeat(120));
    mkdirSync(deep);
    socket = path.join(deep, 'socket') as AbsPath;
  });
  afterEach(() => {
    for (const fd of open.splice(0)) closeSync(fd);
    rmSync(directory, { recursive: true });
  });

  it('is for its owner alone, and tells who connected', () => {
    const before = process.umask(0);
    const listening = opened(listenAt(socket));
    process.umask(before);
    expect(statSync(socket).mode & 0o7777).toBe(0o600);
    expect(acceptNow(listening)).toBeUndefined();
    opened(connectTo(socket));
    const accepted = opened(acceptNow(listening));
    expect(peerUid(accepted)).toBe(process.getuid!());
  });

  it('carries bytes and descriptors, each with its own message', () => {
    const listening = opened(listenAt(socket));
    const client = opened(connectTo(socket));
    const server = opened(acceptNow(listening));
    expect(receiveMessage(server, 100)).toBeUndefined();
    writeFileSync(path.join(directory, 'file'), 'content');
    const file = opened(openSync(path.join(directory, 'file'), 'r'));
    sendMessage(client, Buffer.from('one'), file);
    sendMessage(client, Buffer.from('two'), undefined);
    const first = receiveMessage(server, 100)!;
    expect(first.bytes.toString()).toBe('one');
    const bytes = Buffer.alloc(16);
    expect(bytes.toString('utf8', 0, readSync(opened(first.fd), bytes))).toBe('content');
    expect(receiveMessage(server, 100)).toMatchObject({ bytes: Buffer.from('two'), fd: undefined });
    closeSync(open.splice(open.indexOf(client), 1)[0]!);
    expect(receiveMessage(server, 100)).toMatchObject({ bytes: Buffer.alloc(0) });
  });

  it('has nobody behind it where the listener is gone, or was never there', () => {
    expect(connectTo(socket)).toBeUndefined();
    closeSync(listenAt(socket));
    expect(connectTo(socket)).toBeUndefined();
    expect(() => listenAt(socket)).toThrow(/EADDRINUSE/);
    unlinkSync(socket);
    opened(listenAt(socket));
    opened(connectTo(socket));
  });

  it('is waited for beside others, and no longer than it is watched', async () => {
    using ready = new ReadyFiles();
    const listening = opened(listenAt(socket));
    const told: number[] = [];
    const accepting = new Promise<void>(resolve => {
      ready.watch(listening, () => {
        const accepted = opened(acceptNow(listening));
        ready.watch(accepted, () => {
          const message = receiveMessage(accepted, 10)!;
          if (message.bytes.length === 0) {
            ready.unwatch(accepted);
            ready.unwatch(listening);
            resolve();
          } else told.push(message.bytes[0]!);
        });
      });
    });
    const client = connectTo(socket)!;
    for (const byte of [1, 2, 3]) sendMessage(client, Buffer.from([byte, 0, 0, 0, 0, 0, 0, 0, 0, 0]), undefined);
    closeSync(client);
    await accepting;
    expect(told).toEqual([1, 2, 3]);
  });
});
