import { once } from 'node:events';
import { readFile, rename } from 'node:fs/promises';
import { afterAll, expect, it } from 'vitest';
import { StkError } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import { temporaryDirectory } from '../../test/fixtures/layer-trees.ts';
import { ArrivingBlob } from './arriving-blob.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

const MIB = 1 << 20;
let files = 0;
const fresh = () => `${home}/${++files}` as AbsPath;

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString();
}

it('is read while it arrives, from the beginning as often as wanted, wherever the file goes', async () => {
  const file = fresh();
  let goOn = () => {};
  const seen = new Promise<void>(resolve => (goOn = resolve));
  async function* chunks() {
    yield Buffer.alloc(MIB, 'a');
    await seen;
    yield Buffer.from('end');
  }
  await using blob = await ArrivingBlob.start(file, MIB + 3, receive => receive(chunks()));
  await blob.begun();
  const reader = blob.read();
  expect((await reader.next()).value).toHaveLength(MIB);
  goOn();
  await blob.arrived();
  await rename(file, `${file}.moved`);
  expect(await textOf(reader)).toBe('end');
  expect(await textOf(blob.read())).toBe(await readFile(`${file}.moved`, 'utf8'));
});

it('ends its readers with the failure of the arrival, also where all bytes had come', async () => {
  async function* chunks() {
    yield Buffer.from('all of it');
    throw new StkError('integrity', 'wrong bytes');
  }
  await using blob = await ArrivingBlob.start(fresh(), 9, receive => receive(chunks()));
  await expect(textOf(blob.read())).rejects.toMatchObject({ code: 'integrity' });
  await expect(blob.arrived()).rejects.toMatchObject({ code: 'integrity' });
});

it.each([3, 100])('does not take %d bytes for 9', async sizeBytes => {
  async function* chunks() {
    yield Buffer.from('all of it');
  }
  await using blob = await ArrivingBlob.start(fresh(), sizeBytes, receive => receive(chunks()));
  await expect(textOf(blob.read())).rejects.toMatchObject({ code: 'integrity' });
});

it('ends the arrival when nobody wants it any more', async () => {
  let ended = false;
  const blob = await ArrivingBlob.start(fresh(), 9, async (_receive, signal) => {
    await once(signal, 'abort');
    ended = true;
  });
  await blob[Symbol.asyncDispose]();
  expect(ended).toBe(true);
  await blob[Symbol.asyncDispose]();
});
