import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { start } from '../../test/rig/http-server.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { downloadFile } from './http-download.ts';

describe('downloading to a file', () => {
  it('begins again after a drop, hands over validators, and asks with them', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'stk-download-'));
    await using scope = new AsyncScope();
    scope.defer(() => rm(directory, { recursive: true }));
    await using rig = await start((request, response, count) => {
      if (request.headers['if-none-match'] === '"v1"') return void response.writeHead(304).end();
      response.writeHead(200, { etag: '"v1"', 'content-length': '4' });
      if (count === 1) response.write('ab', () => request.socket.destroy());
      else response.end('abcd');
    });
    const target = path.join(directory, 'file');
    const outcome = await downloadFile(rig.client, rig.url, target);
    expect(outcome).toEqual({ status: 'downloaded', validators: { etag: '"v1"' } });
    expect(await readFile(target, 'utf8')).toBe('abcd');
    const validators = outcome.status === 'downloaded' ? outcome.validators : {};
    const again = await downloadFile(rig.client, rig.url, path.join(directory, 'other'), { validators });
    expect(again).toEqual({ status: 'unchanged' });
  });

  it('leaves alone a file that is there already', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'stk-download-'));
    await using scope = new AsyncScope();
    scope.defer(() => rm(directory, { recursive: true }));
    await using rig = await start((_, response) => response.end(Buffer.alloc(100_000)));
    const target = path.join(directory, 'file');
    await writeFile(target, 'of somebody else');
    await expect(downloadFile(rig.client, rig.url, target)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await readFile(target, 'utf8')).toBe('of somebody else');
  });

  it('leaves nothing when refused', async () => {
    await using rig = await start((_, response) => response.writeHead(404).end());
    const target = path.join(tmpdir(), 'stk-never-written');
    await expect(downloadFile(rig.client, rig.url, target)).rejects.toMatchObject({ code: 'not-found' });
    await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
