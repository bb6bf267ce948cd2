import { describe, expect, it } from 'vitest';
import { DockerRegistry } from '../../test/rig/docker-registry.ts';
import { ok, start } from '../../test/rig/http-server.ts';
import { isLoopbackHost, locationUrl, showUrl } from './http-url.ts';
import { HttpClient } from './http.ts';

describe('redirects', () => {
  it.each([301, 302, 303, 307, 308])('follows %i and keeps authorization on the same origin', async status => {
    await using rig = await start((_, response, count) => {
      if (count === 1) response.writeHead(status, { location: '/next' }).end();
      else ok(response);
    });
    const response = await rig.client.request({ url: rig.url, headers: { authorization: 'Basic c2VjcmV0' } });
    await response.discard();
    expect(response.url.pathname).toBe('/next');
    expect(rig.requests[1]?.headers.authorization).toBe('Basic c2VjcmV0');
  });

  it('drops authorization on another origin, and does not take it up again', async () => {
    await using rig = await start((_, response, count) => {
      if (count === 1) response.writeHead(307, { location: rig.otherUrl.href }).end();
      else if (count === 2) response.writeHead(307, { location: rig.url.href }).end();
      else ok(response);
    });
    const headers = { authorization: 'Basic c2VjcmV0', range: 'bytes=1-' };
    await (await rig.client.request({ url: rig.url, headers })).discard();
    expect(rig.requests.map(request => request.headers.authorization)).toEqual([
      'Basic c2VjcmV0',
      undefined,
      undefined,
    ]);
    expect(rig.requests.map(request => request.headers.range)).toEqual(['bytes=1-', 'bytes=1-', 'bytes=1-']);
  });

  it('ends a loop', async () => {
    await using rig = await start((request, response) => response.writeHead(302, { location: request.url }).end());
    await expect(rig.client.request({ url: rig.url })).rejects.toMatchObject({ code: 'registry' });
    expect(rig.requests).toHaveLength(6);
  });

  it('sends a body along with 307 only', async () => {
    await using rig = await start((request, response, count) => {
      request.resume();
      response.writeHead(count === 1 ? 307 : 302, { location: '/elsewhere' }).end();
    });
    const response = await rig.client.request({ method: 'PUT', url: rig.url, body: Buffer.from('x') });
    expect([response.status, rig.requests.length]).toEqual([302, 2]);
  });

  it.each<[string, string, boolean]>([
    ['https://a.example/', 'http://b.example/x', true],
    ['https://a.example/', 'http://a.example:81/x', true],
    ['https://a.example/', 'http://127.0.0.1/x', true],
    ['http://a.example/', 'http://localhost:22/x', true],
    ['https://a.example/', 'https://[::1]/x', true],
    ['https://a.example/', 'file:///etc/passwd', false],
    ['https://a.example/', 'javascript:alert(1)', false],
    ['https://a.example/', 'https://user:password@b.example/', false],
    ['https://a.example/', 'https://', false],
  ])('refuses to go from %s to %s', (from, to, allowed) => {
    const refused = expect.objectContaining({ code: 'registry' }) as Error;
    expect(() => locationUrl(new URL(from), to, false)).toThrow(refused);
    if (allowed) expect(locationUrl(new URL(from), to, true).href).toBe(new URL(to).href);
    else expect(() => locationUrl(new URL(from), to, true)).toThrow(refused);
  });
  it.each([
    ['https://a.example/v2/', 'http://a.example/x?y=1', 'https://a.example/x?y=1'],
    ['https://a.example:5000/', 'http://a.example:5000/x', 'https://a.example:5000/x'],
    ['https://a.example:5000/', 'http://a.example/x', 'https://a.example:5000/x'],
  ])('stays with https where %s names itself as %s', (from, to, target) => {
    expect(locationUrl(new URL(from), to, false).href).toBe(target);
  });
});

describe('bodies', () => {
  it.each([true, false])('are bounded, with a stated length: %s', async stated => {
    await using rig = await start((_, response) => {
      response.writeHead(200, stated ? { 'content-length': '100' } : {}).end(Buffer.alloc(100));
    });
    await expect((await rig.client.request({ url: rig.url })).bytes(99)).rejects.toMatchObject({ code: 'registry' });
    expect(await (await rig.client.request({ url: rig.url })).bytes(100)).toHaveLength(100);
  });

  it('that fall silent end as network', async () => {
    await using rig = await start((_, response) => void response.writeHead(200).write('begun'), { bodyTimeoutMs: 20 });
    const response = await rig.client.request({ url: rig.url });
    await expect(response.bytes(100)).rejects.toMatchObject({ code: 'network' });
  });

  it('that never come end as network', async () => {
    await using rig = await start(() => {}, { headersTimeoutMs: 20, retry: { patienceMs: 1000 } });
    await expect(rig.client.request({ url: rig.url })).rejects.toMatchObject({
      code: 'network',
      message: expect.stringMatching(/no answer came in time; \d tries in /) as string,
      hint: expect.stringContaining('try again later') as string,
    });
    expect(rig.requests.length).toBeGreaterThan(1);
  });

  it('end as interrupted with the signal, at once', async () => {
    const controller = new AbortController();
    await using rig = await start((_, response) => void response.writeHead(200).write('begun'));
    const response = await rig.client.request({ url: rig.url, signal: controller.signal });
    const reading = response.bytes(100);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'interrupted' });
    const next = rig.client.request({ url: rig.url, signal: controller.signal });
    await expect(next).rejects.toMatchObject({ code: 'interrupted' });
  });

  it('leave their connection to the next request', async () => {
    await using rig = await start((_, response) => ok(response));
    for (let round = 0; round < 10; round++) await (await rig.client.request({ url: rig.url })).discard();
    // An answer may be handed over just before its connection is free again.
    expect(new Set(rig.ports).size).toBeLessThanOrEqual(2);
  });

  it('under too many headers are network', async () => {
    await using rig = await start((_, response) => response.writeHead(200, { 'x-large': 'x'.repeat(100_000) }).end());
    await expect(rig.client.request({ url: rig.url })).rejects.toMatchObject({ code: 'network' });
  });
});

describe('TLS', () => {
  it('accepts what an authority given to it has signed, and nothing else unless told to', async () => {
    await using registry = await DockerRegistry.start({ tls: true });
    await using client = new HttpClient();
    const url = new URL(`https://${registry.host}/v2/`);
    const failure = await client.request({ url }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'network', hint: expect.stringContaining('CA') as string });
    for (const tls of [{ ca: [registry.ca!] }, { insecure: true }]) {
      const response = await client.request({ url, tls });
      await response.discard();
      expect(response.status).toBe(200);
    }
  });
});

it.each([
  ['http://localhost/', true],
  ['http://127.1/', true],
  ['http://[::1]/', true],
  ['http://127.0.0.1.example/', false],
  ['http://localhost.example/', false],
  ['http://10.0.0.1/', false],
])('%s is this machine: %s', (url, expected) => expect(isLoopbackHost(new URL(url).hostname)).toBe(expected));

it('shows URLs without user and query', () => {
  expect(showUrl(new URL('https://u:p@h.example/a/b?signature=x'))).toBe('https://h.example/a/b');
});
