import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { requires } from '../../../test/rig/gates.ts';
import { openDescriptorSocket } from './descriptor-socket.ts';

const SEND = `
import array, os, socket, sys
peer = socket.socket(fileno=3)
kind = sys.argv[1]
if kind == 'one': peer.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [os.open(sys.argv[2], os.O_RDONLY)]))])
if kind == 'bytes': peer.send(b'x')
if kind == 'three': peer.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [os.open(sys.argv[2], os.O_RDONLY)] * 3))])
`;

function send(peer: number, ...words: readonly string[]): void {
  const { status, stderr } = spawnSync('python3', ['-c', SEND, ...words], {
    stdio: ['ignore', 'ignore', 'pipe', peer],
  });
  expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
}

/** What this process has open, by descriptor. */
function openFiles(): ReadonlyMap<string, string> {
  const { stdout } = spawnSync('find', [`/proc/${process.pid}/fd`, '-type', 'l', '-printf', '%f %l\\n']);
  return new Map(
    stdout
      .toString()
      .split('\n')
      .map(line => line.split(' ') as [string, string]),
  );
}

describe('a socket for descriptors', () => {
  requires('tool:python3');

  it('receives a descriptor that another program opened, closed on exec', () => {
    const directory = mkdtempSync('/var/tmp/stk-socket-');
    const file = path.join(directory, 'file');
    writeFileSync(file, 'content');
    try {
      using socket = openDescriptorSocket();
      send(socket.peer, 'one', file);
      const fd = socket.receive()!;
      const bytes = Buffer.alloc(16);
      expect(bytes.toString('utf8', 0, readSync(fd, bytes))).toBe('content');
      expect(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')).toMatch(/^flags:\s*0*2[0-7]{6}$/m);
      closeSync(fd);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each([['nothing'], ['bytes']])('receives none where a program sent %s', kind => {
    using socket = openDescriptorSocket();
    send(socket.peer, kind);
    expect(socket.receive()).toBeUndefined();
  });

  it('leaves nothing open but what it received', () => {
    const file = '/etc/passwd';
    const socket = openDescriptorSocket();
    const ends = [...openFiles()].filter(([name]) => [socket.peer - 1, socket.peer].includes(Number(name)));
    expect(ends.map(([, end]) => end.split(':')[0])).toEqual(['socket', 'socket']);
    send(socket.peer, 'three', file);
    const fd = socket.receive()!;
    socket[Symbol.dispose]();
    socket[Symbol.dispose]();
    const now = [...openFiles()];
    expect(now.filter(([, name]) => name === file)).toEqual([[String(fd), file]]);
    expect(now.filter(([, name]) => ends.some(end => end[1] === name))).toEqual([]);
    closeSync(fd);
  });

  it('is not handed down to programs that are started', () => {
    using socket = openDescriptorSocket();
    for (const end of [socket.peer, socket.peer - 1]) {
      expect(readFileSync(`/proc/self/fdinfo/${end}`, 'utf8')).toMatch(/^flags:\s*0*2[0-7]{6}$/m);
    }
  });

  it('fails where it was closed', () => {
    const socket = openDescriptorSocket();
    socket[Symbol.dispose]();
    closeSync(openSync('/dev/null', 'r'));
    expect(() => socket.receive()).toThrow(/EBADF|ENOTSOCK/);
  });
});
