import { constants } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bufferReader } from '../core/blob-reader.ts';
import { FuseWriter, OPCODE, parseRequest } from '../host/fuse/wire.ts';
import { FileServer } from './file-server.ts';
import { FileTable } from './file-table.ts';
import { parseServeSpec } from './serve-spec.ts';

const OWNER = { uid: 0, gid: 0 };
const { ENOENT, ENOSYS, EISDIR, ENOTDIR, EINVAL, EPROTO, EAGAIN, EIO } = constants.errno;

function message(opcode: number, nodeId: number, body: Uint8Array, unique = 2): Buffer {
  const head = new FuseWriter(40)
    .u32(40 + body.length)
    .u32(opcode)
    .u64(unique)
    .u64(nodeId).bytes;
  return Buffer.concat([head, body]);
}

const INIT = message(OPCODE.init, 0, new FuseWriter(64).u32(7).u32(45).u32(131_072).u32(0xffff_ffff).bytes);

interface Answers {
  readonly list: (number | Buffer)[];
  readonly faults: unknown[];
  ask(bytes: Buffer): Promise<number | Buffer | undefined>;
  stop(): Promise<void>;
}

function serving(): Answers {
  const files = [
    { name: 'one', reader: bufferReader(Buffer.alloc(10_000, 'x')) },
    { name: 'bad', reader: { ...bufferReader(Buffer.alloc(10)), readAt: () => Promise.reject(new Error('no')) } },
  ];
  const faults: unknown[] = [];
  const options = { onReady: () => {}, onReadError: () => {}, onFault: (error: unknown) => faults.push(error) };
  const server = new FileServer(new FileTable(files, OWNER), options);
  const list: (number | Buffer)[] = [];
  return {
    list,
    faults,
    async ask(bytes) {
      let got: number | Buffer | undefined;
      const answer = (value: number | Buffer) => {
        expect(got).toBeUndefined();
        list.push((got = value));
      };
      server.handle(parseRequest(bytes), { ok: body => answer(Buffer.from(body ?? [])), error: answer });
      await new Promise(resolve => setImmediate(resolve));
      return got;
    },
    stop: () => server.stop(),
  };
}

describe('answers', () => {
  const name = (text: string) => Buffer.from(`${text}\0`);
  const range = (offset: number, size: number) => new FuseWriter(40).skip(8).u64(offset).u32(size).bytes;
  it.each([
    ['a name that is not there', message(OPCODE.lookup, 1, name('two')), ENOENT],
    ['a name below a file', message(OPCODE.lookup, 2, name('one')), ENOENT],
    ['a name without an end', message(OPCODE.lookup, 1, Buffer.from('one')), EINVAL],
    ['attributes of nothing', message(OPCODE.getattr, 9, Buffer.alloc(16)), ENOENT],
    ['a directory opened as a file', message(OPCODE.open, 1, Buffer.alloc(8)), EISDIR],
    ['a file opened as a directory', message(OPCODE.opendir, 2, Buffer.alloc(8)), ENOTDIR],
    ['a read of a directory', message(OPCODE.read, 1, range(0, 10)), EISDIR],
    ['a read of nothing', message(OPCODE.read, 99, range(0, 10)), ENOENT],
    ['a read that is cut off', message(OPCODE.read, 2, Buffer.alloc(9)), EINVAL],
    ['a read that fails', message(OPCODE.read, 3, range(0, 10)), EIO],
    ['an interrupt of what is not known', message(OPCODE.interrupt, 0, Buffer.alloc(8)), EAGAIN],
    ['an operation that changes something', message(9, 1, name('one')), ENOSYS],
    ['an operation that nobody knows', message(4242, 1, Buffer.alloc(0)), ENOSYS],
    ['a kernel that is too old', message(OPCODE.init, 0, new FuseWriter(16).u32(7).u32(8).bytes), EPROTO],
  ])('%s with an error', async (_what, bytes, errno) => {
    const server = serving();
    await server.ask(INIT);
    expect(await server.ask(bytes)).toBe(errno);
  });

  it.each([
    ['in the middle', 5, 10, 10],
    ['over the end', 9990, 100, 10],
    ['at the end', 10_000, 10, 0],
    ['far beyond', 2 ** 60, 10, 0],
  ])('reads %s', async (_where, offset, size, length) => {
    const server = serving();
    await server.ask(INIT);
    expect(await server.ask(message(OPCODE.read, 2, range(offset, size)))).toHaveLength(length);
  });

  it('INIT of a newer major with its own version, to be asked again', async () => {
    const answer = await serving().ask(message(OPCODE.init, 0, new FuseWriter(16).u32(8).u32(0).bytes));
    expect((answer as Buffer).subarray(0, 8)).toEqual(new FuseWriter(8).u32(7).u32(31).bytes);
  });

  it('nothing twice, and never throws, whatever comes', async () => {
    const body = fc.uint8Array({ maxLength: 80 });
    const opcode = fc.oneof(fc.nat(60), fc.constantFrom(...Object.values(OPCODE)));
    const requests = fc.array(fc.tuple(opcode, fc.nat(6), body, fc.nat(100)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(requests, async list => {
        const server = serving();
        for (const [n, [operation, node, bytes, unique]] of list.entries()) {
          await server.ask(message(operation, node, bytes, unique * 10 + n));
        }
        await server.stop();
      }),
      { numRuns: 500 },
    );
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(39),
      Buffer.alloc(40),
      message(1, 1, Buffer.alloc(3)).subarray(1),
    ]) {
      expect(() => parseRequest(bytes)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
    }
  });
});

it('lists a directory in pieces of any size, each name once', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-zäß€]{1,40}$/), { maxLength: 40 });
  fc.assert(
    fc.property(names, fc.integer({ min: 200, max: 900 }), (list, size) => {
      const table = new FileTable(
        list.map(name => ({ name, reader: bufferReader(Buffer.alloc(0)) })),
        OWNER,
      );
      const seen: string[] = [];
      for (let from = 0; ;) {
        const bytes = table.list(from, size);
        if (bytes.length === 0) break;
        expect(bytes.length).toBeLessThanOrEqual(size);
        for (let at = 0; at < bytes.length;) {
          const length = bytes.readUInt32LE(at + 16);
          seen.push(bytes.toString('utf8', at + 24, at + 24 + length));
          from = Number(bytes.readBigUInt64LE(at + 8));
          at += 24 + Math.ceil(length / 8) * 8;
        }
      }
      expect(seen).toEqual(['.', '..', ...list]);
    }),
  );
});

it.each(['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)])('serves no file under the name %j', name => {
  const file = { name, reader: bufferReader(Buffer.alloc(0)) };
  expect(() => new FileTable([file], OWNER)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
});

describe('settings', () => {
  const good = { target: '/t', blobs: [], logFile: '/l', stateFile: '/s', device: 4, drainMs: 1 };
  const blob = { name: 'a', path: '/a', digest: `sha256:${'0'.repeat(64)}`, sizeBytes: 1 };
  it('are read', () => {
    expect(parseServeSpec(JSON.stringify({ ...good, blobs: [blob] }))).toMatchObject({ target: '/t', blobs: [blob] });
  });
  it.each([
    ['not JSON', '{'],
    ['a list', '[]'],
    ['a relative target', JSON.stringify({ ...good, target: 't' })],
    ['no blobs', JSON.stringify({ ...good, blobs: undefined })],
    ['a negative time', JSON.stringify({ ...good, drainMs: -1 })],
    ['a digest that is none', JSON.stringify({ ...good, blobs: [{ ...blob, digest: 'x' }] })],
    ['a root that is none', JSON.stringify({ ...good, blobs: [{ ...blob, verityRoot: 'x' }] })],
    ['a size that is none', JSON.stringify({ ...good, blobs: [{ ...blob, sizeBytes: 1.5 }] })],
  ])('are refused: %s', (_what, text) => {
    expect(() => parseServeSpec(text)).toThrow(expect.objectContaining({ code: 'invalid-input' }));
  });
});
