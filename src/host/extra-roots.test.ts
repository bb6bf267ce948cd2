import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AsyncScope } from '../core/async-scope.ts';
import { readExtraRoots, type RootPlaces } from './extra-roots.ts';
import { HttpClient } from './http.ts';

let home: string;
const scope = new AsyncScope();
let url: URL;

/** Two certificates that are their own authorities; the server has the first one. */
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-roots-'));
  for (const name of ['one', 'two']) {
    await mkdir(path.join(home, name));
    const file = (kind: string) => path.join(home, name, `${kind}.pem`);
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key')];
    const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', ['req', '-x509', ...newKey, ...names, '-out', file('cert')], { stdio: 'ignore' });
  }
  const read = (name: string) => readFile(path.join(home, 'one', name));
  const server = createServer({ key: await read('key.pem'), cert: await read('cert.pem') }, (_, response) => {
    response.end('fine');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  scope.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterAll(async () => {
  await scope[Symbol.asyncDispose]();
  await rm(home, { recursive: true });
});

async function get(places: Partial<RootPlaces>, ca?: string): Promise<number> {
  const extraRoots = () => readExtraRoots({ files: [], directories: undefined, ...places });
  await using client = new HttpClient({ extraRoots, retry: { patienceMs: 0 } });
  const response = await client.request({ url, ...(ca === undefined ? {} : { tls: { ca: [ca] } }) });
  await response.discard();
  return response.status;
}

const place = (...parts: string[]) => path.join(home, ...parts);

it('trusts what a file or a directory holds, beside other things', async () => {
  const two = await readFile(place('two/cert.pem'), 'utf8');
  expect(await get({ files: [place('one/cert.pem')] })).toBe(200);
  expect(await get({ files: [undefined, '', place('two/cert.pem'), place('one/cert.pem')] })).toBe(200);
  expect(await get({ directories: `${place('none')}::${place('one')}` })).toBe(200);
  expect(await get({ files: [place('one/cert.pem')] }, two)).toBe(200);
  await writeFile(place('both.pem'), `# comment\n${two}\nx${await readFile(place('one/cert.pem'), 'utf8')}`);
  expect(await get({ files: [place('both.pem')] })).toBe(200);
});

it('trusts nothing else', async () => {
  await writeFile(place('garbage'), '-----BEGIN CERTIFICATE-----\n');
  const places: Partial<RootPlaces>[] = [
    {},
    { files: [place('two/cert.pem'), place('none'), place('garbage')] },
    { directories: `${place('two')}:${place('none')}` },
  ];
  for (const others of places) await expect(get(others)).rejects.toMatchObject({ code: 'network' });
});
