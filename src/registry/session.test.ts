import { describe, expect, it } from 'vitest';
import { DockerRegistry } from '../../test/rig/docker-registry.ts';
import { fakeBlob, type FakeRegistryOptions } from '../../test/rig/fake-registry.ts';
import {
  BYTES,
  LOGIN,
  REPOSITORY,
  descriptorOf,
  read,
  source,
  start,
  withLogin,
} from '../../test/rig/fake-registry-store.ts';
import { HttpClient } from '../host/http.ts';
import { parseRegistryHost, parseRegistryReference } from '../oci/reference.ts';
import { RegistryStore, type RegistryStoreOptions } from './registry-store.ts';
import { RegistrySession } from './session.ts';

describe('logging in', () => {
  it('asks for one token and uses it until it expires', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN, lifeSeconds: 60 } }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, Buffer.from('x'));
    for (let round = 0; round < 3; round++) await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(1);
    rig.clock.nowMs += 50_000;
    await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(2);
    rig.fake.tokens.expire();
    await rig.store.hasBlob(blob);
    expect(rig.fake.tokens.issued).toBe(3);
  });

  it('shares one token among requests at once', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const blob = fakeBlob(rig.fake, REPOSITORY, Buffer.from('x'));
    await Promise.all(Array.from({ length: 8 }, () => rig.store.hasBlob(blob)));
    expect(rig.fake.tokens.issued).toBe(1);
  });

  it('pulls anonymously with a token that needs no password', async () => {
    await using rig = await start({ auth: { kind: 'bearer' } });
    const blob = fakeBlob(rig.fake, REPOSITORY, BYTES);
    expect(await read(rig.store, blob)).toHaveLength(BYTES.byteLength);
    await expect(rig.store.putBlob(descriptorOf(Buffer.from('y')), source(Buffer.from('y')))).rejects.toMatchObject({
      code: 'unauthorized',
    });
  });

  it('exchanges a refresh token', async () => {
    const credentials = { kind: 'identity-token', token: 'refresh-me' } as const;
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN, refreshToken: 'refresh-me' } }, { credentials });
    await rig.store.ping();
    expect(rig.fake.count(/^POST \/token/)).toBe(1);
  });

  it('names no repository where the registry as a whole is asked', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } });
    const { host } = rig.fake;
    await using client = new HttpClient({ delay: async () => {} });
    const session = new RegistrySession({ client, host: parseRegistryHost(host), insecure: true, ...withLogin });
    await session.ping();
    const asked = rig.fake.requests.map(({ url }) => new URL(url, `http://${host}`));
    expect(new Set(asked.map(({ pathname }) => pathname))).toEqual(new Set(['/v2/', '/token']));
    expect(asked.filter(({ searchParams }) => searchParams.has('scope'))).toEqual([]);
  });

  it.each<[string, FakeRegistryOptions, Partial<RegistryStoreOptions>]>([
    ['no password for basic', { auth: { kind: 'basic', ...LOGIN } }, {}],
    ['a wrong password for basic', { auth: { kind: 'basic', username: 'user', password: 'other' } }, withLogin],
    ['a wrong password for a token', { auth: { kind: 'bearer', username: 'user', password: 'other' } }, withLogin],
  ])('is unauthorized with %s, and does not show the password', async (_, options, storeOptions) => {
    await using rig = await start(options, storeOptions);
    const failure = await rig.store.ping().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'unauthorized' });
    expect(JSON.stringify(failure) + String(failure)).not.toMatch(/secret-word|c2VjcmV0/);
  });

  it('ends a loop of refused logins', async () => {
    await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
    const challenge = `Bearer realm="${rig.fake.secondOrigin}/token",service="x"`;
    rig.fake.failNext({
      match: /^HEAD /,
      with: { kind: 'status', status: 401, headers: { 'www-authenticate': challenge } },
      times: 1000,
    });
    await expect(rig.store.hasBlob(descriptorOf(BYTES))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(rig.fake.count(/^HEAD /)).toBe(2);
  });

  it.each([
    '',
    'Digest realm="x"',
    'Bearer',
    'Bearer realm="not a url"',
    'Bearer realm="http://tokens.example/token"',
    'Bearer realm="ftp://127.0.0.1/token"',
    'Bearer realm="https://user:password@127.0.0.1/token"',
    `Bearer realm="${'x'.repeat(7000)}"`,
  ])('is unauthorized, sending nothing, when challenged with %s', async challenge => {
    await using rig = await start({}, withLogin);
    const headers = { 'www-authenticate': challenge };
    rig.fake.failNext({ match: /^HEAD /, with: { kind: 'status', status: 401, headers }, times: 10 });
    await expect(rig.store.hasBlob(descriptorOf(BYTES))).rejects.toMatchObject({ code: 'unauthorized' });
    expect(rig.fake.requests.every(request => request.headers.authorization === undefined)).toBe(true);
  });

  it.each(['{}', '{"token":7}', '{"token":"two\\r\\nlines"}', 'no json', '{"token":""}'])(
    'is registry when the token server answers %s',
    async body => {
      await using rig = await start({ auth: { kind: 'bearer', ...LOGIN } }, withLogin);
      rig.fake.failNext({ match: /\/token/, with: { kind: 'status', status: 200, body } });
      await expect(rig.store.ping()).rejects.toMatchObject({ code: 'registry' });
    },
  );
});

describe('reaching the registry', () => {
  it('speaks https with an own authority, and says what is wrong without it', async () => {
    await using registry = await DockerRegistry.start({ tls: true, login: LOGIN });
    await using client = new HttpClient({ delay: async () => {} });
    const { host, repository } = parseRegistryReference(`docker://${registry.host}/app`);
    const common = { client, host, repository, ...withLogin };
    await expect(new RegistryStore(common).ping()).rejects.toMatchObject({ code: 'network' });
    await new RegistryStore({ ...common, tls: { ca: [registry.ca!] } }).ping();
    await new RegistryStore({ ...common, insecure: true }).ping();
  });

  it('is network for a host that is not there, and registry for one that is none', async () => {
    await using rig = await start();
    rig.fake.failNext({ match: /^GET \/v2\/$/, with: { kind: 'status', status: 404 }, times: 3 });
    await expect(rig.store.ping()).rejects.toMatchObject({ code: 'registry' });
    await using client = new HttpClient({ delay: async () => {} });
    const { host, repository } = parseRegistryReference('docker://127.0.0.1:1/app');
    await expect(new RegistryStore({ client, host, repository }).ping()).rejects.toMatchObject({ code: 'network' });
  });
});
