import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { BYTES, REPOSITORY, descriptorOf, source } from '../../test/rig/fake-registry-store.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { HttpClient } from '../host/http.ts';
import { parseRegistryReference } from '../oci/reference.ts';
import { RegistryStore } from './registry-store.ts';

/** A key, and a certificate of-it that is its own authority, for 127.0.0.1. */
async function makeCertificate(scope: AsyncScope): Promise<{ key: string; cert: string }> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stk-certificate-'));
  scope.defer(() => rm(directory, { recursive: true }));
  const file = (name: string) => path.join(directory, name);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key')];
  const names = ['-subj', '/CN=rig', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', '-x509', ...newKey, ...names, '-out', file('cert')], { stdio: 'ignore' });
  return { key: await readFile(file('key'), 'utf8'), cert: await readFile(file('cert'), 'utf8') };
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

it('shows the client certificate to the registry only, not to what it names elsewhere', async () => {
  await using scope = new AsyncScope();
  const certificate = await makeCertificate(scope);
  const seen: string[] = [];
  const serve = async (name: string, answer: Answer): Promise<string> => {
    const options = { ...certificate, requestCert: true, rejectUnauthorized: false };
    const server = createServer(options, (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate();
      const shown = Object.keys(peer).length > 0 ? 'certificate' : 'none';
      seen.push(`${name} ${request.method} ${request.url?.split('?')[0]} ${shown}`);
      request.resume();
      request.on('end', () => answer(request, response));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    scope.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const blob = descriptorOf(BYTES);
  const other = await serve('other', ({ method, url = '', headers }, response) => {
    if (url.startsWith('/token')) return void response.end('{"token":"of-it"}');
    if (method === 'PATCH') return void response.writeHead(202).end();
    if (method === 'PUT') return void response.writeHead(201).end();
    const [, from = 0, end = 0] = /(\d+)-(\d+)/.exec(headers.range ?? '') ?? [];
    const range = `bytes ${from}-${end}/${BYTES.byteLength}`;
    response.writeHead(206, { 'content-range': range }).end(BYTES.subarray(Number(from), Number(end) + 1));
  });
  const host = await serve('registry', ({ method, headers }, response) => {
    if (headers.authorization !== 'Bearer of-it') {
      const challenge = `Bearer realm="https://${other}/token",service="rig"`;
      return void response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
    if (method === 'HEAD') return void response.writeHead(404).end();
    if (method === 'POST') return void response.writeHead(202, { location: `https://${other}/upload` }).end();
    response.writeHead(307, { location: `https://${other}/blob` }).end();
  });
  const reference = parseRegistryReference(`docker://${host}/${REPOSITORY}`);
  const client = scope.use(new HttpClient());
  const tls = { ca: [certificate.cert], ...certificate };
  const store = new RegistryStore({ client, host: reference.host, repository: reference.repository, tls });
  for (const offset of [0, 100]) await store.readBlobRange(blob, offset, 10);
  await store.putBlob(blob, source());
  const places = (name: string) => new Set(seen.filter(line => line.startsWith(name)).map(line => line.split(' ')[3]));
  expect([...places('registry')]).toEqual(['certificate']);
  expect([...places('other')]).toEqual(['none']);
  expect(new Set(seen.filter(line => line.startsWith('other')))).toEqual(
    new Set(['GET /token', 'GET /blob', 'PATCH /upload', 'PUT /upload'].map(what => `other ${what} none`)),
  );
});
