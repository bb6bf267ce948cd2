import { chmod, mkdir, mkdtemp, readFile, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { StkError, throwIfAborted } from '../core/errors.ts';
import type { AbsPath } from '../core/paths.ts';
import type { Import } from '../recipe/model.ts';
import { FileDigests } from './file-digests.ts';
import { HttpFiles, type DownloadFile } from './http-file.ts';
import { identifyImport, type ImportPorts } from './imports.ts';
import { RecordCache } from './record-cache.ts';
import { sniffCompression } from '../layer/sniff-compression.ts';
import { treeDigest } from './tree-digest.ts';

let home: AbsPath;
let files: FileDigests;

beforeEach(async () => {
  home = (await mkdtemp(path.join(tmpdir(), 'stk-sources-'))) as AbsPath;
  files = new FileDigests(at('digests.json'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

function at(name: string): AbsPath {
  return path.join(home, name) as AbsPath;
}

async function makeTree(name: string): Promise<AbsPath> {
  await mkdir(at(`${name}/sub`), { recursive: true });
  await writeFile(at(`${name}/a`), 'one');
  await writeFile(at(`${name}/sub/b`), 'two');
  await symlink('a', at(`${name}/link`));
  return at(name);
}

describe('FileDigests', () => {
  const past = new Date(Date.now() - 60_000);

  it('does not read an unchanged file again, and does read a changed one', async () => {
    await writeFile(at('f'), 'one');
    expect(await files.digest(at('f'))).toBe(digestOf('one'));
    await writeFile(at('f'), 'two');
    await utimes(at('f'), past, past);
    expect(await files.digest(at('f'))).toBe(digestOf('two'));
  });

  it('survives a damaged memory', async () => {
    await writeFile(at('f'), 'one');
    await writeFile(at('digests.json'), '[["/x",');
    expect(await new FileDigests(at('digests.json')).digest(at('f'))).toBe(digestOf('one'));
  });

  it('remembers nothing that may still change unseen', async () => {
    await writeFile(at('f'), 'one');
    await files.digest(at('f'));
    await files.save();
    await expect(readFile(at('digests.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('treeDigest', () => {
  it('is the same for equal trees and differs for each visible change', async () => {
    const first = await treeDigest(await makeTree('x'), files);
    const again = await makeTree('y');
    expect((await treeDigest(again, files)).digest).toBe(first.digest);
    const changes: (() => Promise<unknown>)[] = [
      () => writeFile(`${again}/a`, 'onE'),
      () => chmod(`${again}/a`, 0o755),
      () => rm(`${again}/sub/b`),
      () => mkdir(`${again}/empty`),
      () => symlink('elsewhere', `${again}/other`),
    ];
    const seen = new Set([first.digest]);
    for (const change of changes) {
      await change();
      seen.add((await treeDigest(again, files)).digest);
    }
    expect(seen.size).toBe(changes.length + 1);
  });

  it('names what is not there', async () => {
    await expect(treeDigest(at('nothing'), files)).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('identifyImport', () => {
  const span = { file: 'f', line: 1, column: 1, endLine: 1, endColumn: 2 };
  const entry = (source: Import['source'], more: Partial<Import> = {}): Import => ({
    source,
    name: 'name',
    mountPoint: '/stacker/imports',
    trailingSlash: false,
    hash: undefined,
    dest: undefined,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    span,
    ...more,
  });
  const ports = (more: Partial<ImportPorts> = {}): ImportPorts => ({
    store: at('store'),
    files,
    fetchHttp: () => Promise.reject(new Error('not wanted')),
    extract: () => Promise.reject(new Error('not wanted')),
    requireHash: false,
    ...more,
  });

  it('stages a private copy once, with the wanted mode', async () => {
    await writeFile(at('f'), 'content');
    const known = await identifyImport(entry({ type: 'path', path: at('f') }, { mode: 0o4711 }), ports());
    const copy = await known.stage();
    await writeFile(at('f'), 'changed later');
    expect(await readFile(copy, 'utf8')).toBe('content');
    expect(await known.stage()).toBe(copy);
  });

  it('notices a file that changes between looking and copying', async () => {
    await writeFile(at('f'), 'content');
    const known = await identifyImport(entry({ type: 'path', path: at('f') }), ports());
    await writeFile(at('f'), 'changed at once');
    await expect(known.stage()).rejects.toMatchObject({ code: 'conflict' });
  });

  it('names both digests when a hash does not fit', async () => {
    await writeFile(at('f'), 'content');
    const wrong = entry({ type: 'path', path: at('f') }, { hash: digestOf('other') });
    await expect(identifyImport(wrong, ports())).rejects.toMatchObject({
      code: 'integrity',
      facts: { expected: digestOf('other'), found: digestOf('content') },
    });
  });

  it('takes inline content', async () => {
    const known = await identifyImport(entry({ type: 'content', content: 'inline' }), ports());
    expect(await readFile(await known.stage(), 'utf8')).toBe('inline');
  });

  it('wants a hash of http imports where told so', async () => {
    const http = entry({ type: 'http', url: 'http://127.0.0.1:1/x' });
    await expect(identifyImport(http, ports({ requireHash: true }))).rejects.toMatchObject({ code: 'usage' });
  });

  it('has the same key wherever the source lies, and another for another mode', async () => {
    await writeFile(at('f'), 'content');
    await writeFile(at('g'), 'content');
    const keys = await Promise.all(
      [
        entry({ type: 'path', path: at('f') }),
        entry({ type: 'path', path: at('g') }),
        entry({ type: 'path', path: at('g') }, { mode: 0o600 }),
      ].map(async item => (await identifyImport(item, ports())).key),
    );
    expect(new Set(keys).size).toBe(2);
    expect(keys[0]).toBe(keys[1]);
  });
});

describe('HttpFiles', () => {
  it('revalidates, replaces what changed, and asks nothing when the digest is known', async () => {
    const asked: unknown[] = [];
    let body = 'first';
    const download: DownloadFile = async (_url, target, validators) => {
      asked.push(validators);
      const etag = digestOf(body);
      if (validators?.etag === etag) return { status: 'unchanged' };
      await writeFile(target, body);
      return { status: 'downloaded', validators: { etag } };
    };
    const copies = new HttpFiles({ directory: at('http'), records: new RecordCache(at('records')), files, download });
    const fetch = async (expected?: ReturnType<typeof digestOf>) =>
      readFile(await copies.fetch('http://127.0.0.1/x', expected), 'utf8');
    expect(await fetch()).toBe('first');
    expect(await fetch()).toBe('first');
    expect(await fetch(digestOf('first'))).toBe('first');
    expect(asked).toEqual([undefined, { etag: digestOf('first') }]);
    body = 'second, longer';
    expect(await fetch()).toBe('second, longer');
    await rm(at('http'), { recursive: true });
    expect(await fetch()).toBe('second, longer');
    expect(asked.at(-1)).toBeUndefined();
  });

  it.each<[string, StkError, boolean]>([
    ['cannot be reached', new StkError('network', 'ENETUNREACH'), true],
    ['is out of order', new StkError('registry', '503', { facts: { status: 503 } }), true],
    ['says no', new StkError('unauthorized', '403', { facts: { status: 403 } }), false],
    ['has it no more', new StkError('not-found', '404', { facts: { status: 404 } }), false],
    ['answers nonsense', new StkError('registry', '418', { facts: { status: 418 } }), false],
  ])('uses the copy where a server %s: %o', async (_, failure, isUsed) => {
    let fails = false;
    const download: DownloadFile = async (_url, target) => {
      if (fails) throw failure;
      await writeFile(target, 'body', { flag: 'wx' });
      return { status: 'downloaded', validators: {} };
    };
    const warnings: string[] = [];
    const onStale = (text: string) => void warnings.push(text);
    const records = new RecordCache(at('stale/r'));
    const copies = new HttpFiles({ directory: at('stale'), records, files, download, onStale });
    const file = await copies.fetch('http://h/x', undefined);
    fails = true;
    if (isUsed) expect(await copies.fetch('http://h/x', undefined)).toBe(file);
    else await expect(copies.fetch('http://h/x', undefined)).rejects.toBe(failure);
    expect(warnings).toHaveLength(isUsed ? 1 : 0);
    await expect(copies.fetch('http://h/x', digestOf('other'))).rejects.toBe(failure);
    await expect(copies.fetch('http://h/other', undefined)).rejects.toBe(failure);
  });

  it('downloads once for all who ask at once, for as long as one of them waits', async () => {
    const callers = Array.from({ length: 4 }, () => new AbortController());
    const targets: string[] = [];
    const download: DownloadFile = async (_url, target, _validators, signal) => {
      targets.push(target);
      if (targets.length === 1) callers.find(caller => caller.signal === signal)!.abort();
      throwIfAborted(signal);
      await writeFile(target, 'body', { flag: 'wx' });
      return { status: 'downloaded', validators: {} };
    };
    const copies = new HttpFiles({ directory: at('once'), records: new RecordCache(at('once/r')), files, download });
    const fetches = callers.map(({ signal }) => copies.fetch('http://127.0.0.1/once', undefined, signal));
    const settled = (await Promise.allSettled(fetches)).map(({ status }) => status).toSorted();
    expect(settled).toEqual(['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
    expect(targets).toHaveLength(2);
    expect(new Set(targets).size).toBe(2);
    expect((await readdir(at('once'))).filter(name => name !== 'r')).toEqual([digestOf('body').slice(7)]);
  });
});

it('a damaged record counts as absent', async () => {
  const records = new RecordCache(at('records'));
  const key = digestOf('key');
  await records.put('step', key, { a: 1 });
  expect(await records.get('step', key)).toEqual({ a: 1 });
  await writeFile(at(`records/step/${key.slice(7)}.json`), '{"a"');
  expect(await records.get('step', key)).toBeUndefined();
  for await (const value of records.all('step')) expect.fail(`a damaged record was read: ${JSON.stringify(value)}`);
});

describe('sniffCompression', () => {
  const sniff = (hex: string) =>
    sniffCompression(async function* () {
      yield Buffer.from(hex, 'hex');
    });

  it.each([
    ['1f8b0800', 'gzip'],
    ['28b52ffd00', 'zstd'],
    ['2e2f0000', 'none'],
    ['', 'none'],
  ])('%s', async (hex, expected) => expect(await sniff(hex)).toBe(expected));

  it.each(['fd377a585a00', '425a6839'])('refuses %s', async hex =>
    expect(sniff(hex)).rejects.toMatchObject({ code: 'unsupported' }),
  );
});
