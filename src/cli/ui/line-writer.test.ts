import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { LineWriter } from './line-writer.ts';

function textOf(stream: PassThrough): string {
  return String((stream.read() as Buffer | null) ?? '');
}

describe('LineWriter', () => {
  it('writes the lines of one turn at once', async () => {
    const chunks: string[] = [];
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (chunk.length > 0) chunks.push(chunk.toString());
        done();
      },
    });
    const writer = new LineWriter(stream);
    writer.write(['a', 'b']);
    writer.write(['c']);
    writer.write([]);
    await writer.close();
    expect(chunks).toEqual(['a\nb\nc\n']);
    expect(stream.writableEnded).toBe(false);
    expect(stream.listenerCount('error')).toBe(0);
  });

  it('keeps lines back while held', async () => {
    const stream = new PassThrough();
    const writer = new LineWriter(stream);
    writer.write(['before']);
    writer.hold();
    writer.write(['during']);
    await Promise.resolve();
    expect(textOf(stream)).toBe('before\n');
    writer.release();
    expect(textOf(stream)).toBe('during\n');
  });

  it('keeps a bounded number of lines while held and says how many are gone', () => {
    const stream = new PassThrough();
    const writer = new LineWriter(stream);
    writer.hold();
    for (let index = 0; index < 50_000; index++) writer.write([String(index)]);
    writer.release();
    const lines = textOf(stream).trimEnd().split('\n');
    expect(lines.length).toBeLessThanOrEqual(20_001);
    expect(lines[0]).toBe(`… ${50_000 - lines.length + 1} lines left out`);
    expect(lines.at(-1)).toBe('49999');
  });

  it('leaves lines out rather than let them pile up before a slow reader', () => {
    const stream = new PassThrough({ highWaterMark: 1 });
    const writer = new LineWriter(stream);
    const line = 'x'.repeat(1 << 20);
    for (let index = 0; index < 40; index++) {
      writer.write([line]);
      writer.flush();
    }
    expect(stream.writableLength).toBeLessThan(20 << 20);
  });

  it('tells once that the stream broke and takes no more', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) });
    const errors: string[] = [];
    const writer = new LineWriter(stream, error => errors.push(error.message));
    const closed = new Promise(resolve => stream.once('close', resolve));
    writer.write(['a']);
    writer.flush();
    await closed;
    writer.write(['b']);
    await writer.close();
    expect(errors).toEqual(['EPIPE']);
  });
});
