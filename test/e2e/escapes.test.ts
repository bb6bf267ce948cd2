import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missing, requires } from '../rig/gates.ts';
import { buildPerlImage, runPerl, type Place } from '../rig/perl-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

const NEEDS = ['root', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:perl', 'tool:scmp_sys_resolver'] as const;
requires(...NEEDS);

/** Landlock's interface that knows scopes of sockets, since Linux 6.12. */
const WITH_SCOPES = 6;
const ABSTRACT = `stk-test-${process.pid}`;
const LISTEN = String.raw`socket my $s, 1, 1, 0; bind $s, pack 'S a*', 1, "\0$ARGV[0]"; listen $s, 5; $| = 1; print "ready\n"; sleep 1 while getppid > 1`;

/** Numbers of the system calls that the probes name, from libseccomp. */
async function callNumbers(probes: string): Promise<string> {
  const names = new Set([...probes.matchAll(/(?:refuses|kernel)\('(\w+)'/g)].map(([, name = '']) => name));
  const numbers = await Promise.all(
    [...names].map(async name => `${name}=${(await execa('scmp_sys_resolver', [name])).stdout}`),
  );
  return numbers.filter(number => !number.includes('=-')).join(' ');
}

const NODES = [
  ...['b:8:0', 'b:254:0', 'b:253:0', 'b:7:0', 'b:259:0', 'c:1:1', 'c:1:2', 'c:1:4', 'c:1:11'],
  ...['c:4:1', 'c:5:1', 'c:10:200', 'c:10:229', 'c:10:232', 'c:10:236', 'c:10:237'],
];

describe.each<Actor>(['root', 'user'])('ways out of a sandbox of %s', actor => {
  let rig: StkRig;
  let server: ChildProcess | undefined;
  let probes = '';
  let env: Readonly<Record<string, string>> = {};

  beforeAll(async () => {
    if ((await missing(...NEEDS)) !== undefined) return;
    rig = await StkRig.open({ as: actor });
    await buildPerlImage(rig);
    probes = await readFile(new URL('../fixtures/sandbox-probes.pl', import.meta.url), 'utf8');
    server = spawn('perl', ['-e', LISTEN, ABSTRACT], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(server.stdout!, 'data');
    const landlock = await execa('perl', ['-e', 'print syscall(444, 0, 0, 1)']);
    env = {
      CALLS: await callNumbers(probes),
      MARKER: await rig.write('marker', ''),
      NODES: NODES.join(' '),
      PIDS: `${process.pid}`,
      ...(Number(landlock.stdout) >= WITH_SCOPES ? { ABSTRACT } : {}),
    };
  });
  afterAll(async () => {
    server?.kill();
    await rig?.[Symbol.asyncDispose]();
  });

  it.each<Place | 'container of another user'>(['step', 'container', 'container of another user'])(
    'lead nowhere from a %s',
    async place => {
      const isOther = place === 'container of another user';
      const lines = await runPerl(rig, isOther ? 'container' : place, probes, {
        env,
        user: isOther ? '7:7' : undefined,
      });
      expect(lines.at(-1)).toBe('ended');
      const tried = new Set(lines.filter(line => /: (?:refused|GOT THROUGH)$/.test(line)));
      expect(tried.size).toBeGreaterThan(250);
      expect([...tried].filter(line => line.endsWith('GOT THROUGH'))).toEqual([]);
    },
  );

  it.runIf(process.arch === 'x64')('are closed to calls of 32 bits in a program of 64', async () => {
    const program = await rig.write('personality', programWith32BitCall(), 0o755);
    expect((await rig.stk(['run', '-v', 'personality:/personality', 'perl', '/personality'])).exitCode).toBe(EPERM);
    expect((await execa(program)).exitCode).toBe(0);
  });
});

const { EPERM } = os.constants.errno;

/** Asks for READ_IMPLIES_EXEC by int 0x80, and ends with the error's number. */
function programWith32BitCall(): Buffer {
  const code = Buffer.from(
    [
      'b888000000', // mov eax, 136 (personality)
      'bb00004000', // mov ebx, 0x400000
      'cd80', // int 0x80
      'f7d8', // neg eax
      '89c7', // mov edi, eax
      'b83c000000', // mov eax, 60 (exit)
      '0f05', // syscall
    ].join(''),
    'hex',
  );
  const [base, headers] = [0x40_0000n, 120];
  const size = BigInt(headers + code.length);
  const file = Buffer.alloc(headers);
  file.write('7f454c46020101', 'hex');
  // elf(5): an executable for x86-64, its entry behind the headers, one program header.
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(base + BigInt(headers), 24);
  file.writeBigUInt64LE(64n, 32);
  for (const [index, value] of [64, 56, 1].entries()) file.writeUInt16LE(value, 52 + 2 * index);
  // All of it loaded, readable and executable.
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(5, 68);
  for (const [index, value] of [0n, base, base, size, size, 0x1000n].entries())
    file.writeBigUInt64LE(value, 72 + 8 * index);
  return Buffer.concat([file, code]);
}
