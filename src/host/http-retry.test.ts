import { describe, expect, it } from 'vitest';
import { ok, start } from '../../test/rig/http-server.ts';
import { DEFAULT_RETRY, backoffMs, retryAfterMs } from './http-retry.ts';

describe('retrying', () => {
  it.each([408, 429, 500, 502, 503, 504])('sends again after %i, waiting longer each time', async status => {
    await using rig = await start((_, response, count) => {
      if (count < 4) response.writeHead(status).end();
      else ok(response);
    });
    const response = await rig.client.request({ url: rig.url });
    expect((await response.bytes(10)).toString()).toBe('fine');
    expect(rig.delays).toEqual([200, 400, 800]);
  });

  it('gives up when patience is at an end and hands over the last answer', async () => {
    await using rig = await start((_, response) => response.writeHead(503).end('busy'));
    expect((await rig.client.request({ url: rig.url })).status).toBe(503);
    expect(rig.delays.reduce((a, b) => a + b)).toBe(DEFAULT_RETRY.patienceMs);
    expect(rig.requests).toHaveLength(rig.delays.length + 1);
  });

  it('does not wait as long as it is asked to beyond its patience', async () => {
    const answer = { 'retry-after': '50' };
    await using rig = await start((_, response) => response.writeHead(503, answer).end('busy'));
    expect((await rig.client.request({ url: rig.url })).status).toBe(503);
    expect(rig.delays).toEqual([50_000, 50_000]);
  });

  it.each([400, 401, 403, 404, 416, 501])('does not send again after %i', async status => {
    await using rig = await start((_, response) => response.writeHead(status).end());
    expect((await rig.client.request({ url: rig.url })).status).toBe(status);
    expect(rig.requests).toHaveLength(1);
  });

  it('waits as long as it is asked to, up to a cap', async () => {
    const pauses = ['7', '99999999', 'soon'];
    await using rig = await start((_, response, count) => {
      const pause = pauses[count - 1];
      if (pause === undefined) ok(response);
      else response.writeHead(429, { 'retry-after': pause }).end();
    });
    await (await rig.client.request({ url: rig.url })).discard();
    expect(rig.delays).toEqual([7000, DEFAULT_RETRY.maxRetryAfterMs, 800]);
  });

  it('sends the body again after a dropped connection', async () => {
    const bodies: string[] = [];
    await using rig = await start((request, response, count) => {
      if (count === 1) return void request.socket.destroy();
      let body = '';
      request.on('data', chunk => (body += String(chunk)));
      request.on('end', () => {
        bodies.push(body);
        ok(response);
      });
    });
    async function* body() {
      yield Buffer.from('a');
      yield Buffer.from('b');
    }
    await (await rig.client.request({ method: 'PUT', url: rig.url, body })).discard();
    expect(bodies).toEqual(['ab']);
  });

  it('passes on the failure of a body, once', async () => {
    await using rig = await start(request => request.resume());
    let opened = 0;
    async function* body() {
      opened++;
      yield Buffer.from('a');
      throw new Error('source broke');
    }
    await expect(rig.client.request({ method: 'PUT', url: rig.url, body })).rejects.toThrow('source broke');
    expect(opened).toBe(1);
  });

  it('is network when nobody listens, after trying again', async () => {
    await using rig = await start((_, response) => ok(response));
    const url = new URL('http://127.0.0.1:1/secret?token=abc');
    const failure = await rig.client.request({ url }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'network', facts: { reason: 'ECONNREFUSED' } });
    expect(rig.delays.reduce((a, b) => a + b)).toBe(DEFAULT_RETRY.firstContactMs);
    expect(JSON.stringify(failure) + String(failure)).not.toContain('abc');
  });

  it('computes pauses between half and all of a doubling bound', () => {
    expect([1, 2, 3, 50].map(n => backoffMs(DEFAULT_RETRY, n, 0))).toEqual([100, 200, 400, 15_000]);
    expect([1, 2, 3, 50].map(n => backoffMs(DEFAULT_RETRY, n, 1))).toEqual([200, 400, 800, 30_000]);
  });

  it.each([
    ['Wed, 21 Oct 2026 07:28:00 GMT', Date.UTC(2026, 9, 21, 7, 27, 30), 30_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', Date.UTC(2027, 0, 1), 0],
    ['120', 0, DEFAULT_RETRY.maxRetryAfterMs],
    ['soon', 0, undefined],
    ['', 0, undefined],
    [undefined, 0, undefined],
  ])('reads Retry-After %s', (value, now, expected) => {
    expect(retryAfterMs(value, DEFAULT_RETRY, now)).toBe(expected);
  });
});
