import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, createServer as createSocketServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { AsyncScope } from '../core/async-scope.ts';
import { isDirect, parseProxy, proxyFor } from './http-proxy.ts';
import { HttpClient } from './http.ts';

/** A key, and a certificate that it signs itself. */
function certificateFor(host: string): { readonly key: string; readonly cert: string } {
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-keyout', '-', '-out', '-'];
  const text = execFileSync('openssl', [...args, ...names], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const [key, cert] = text.split(/(?=-----BEGIN CERT)/);
  return { key: key!, cert: cert! };
}

const parsed = (value: string) => {
  const { url, login } = parseProxy({ name: 'http_proxy', value });
  return [url.protocol, url.host, login && `${login.username}|${login.password}`];
};

describe('a proxy variable', () => {
  it.each([
    ['http://p.example:3128', ['http:', 'p.example:3128', undefined]],
    ['p.example:3128', ['http:', 'p.example:3128', undefined]],
    ['127.0.0.1:9', ['http:', '127.0.0.1:9', undefined]],
    ['p.example', ['http:', 'p.example', undefined]],
    [' \thttp://p.example:3128/ \n', ['http:', 'p.example:3128', undefined]],
    ['HTTP://p.example:3128/path?x#y', ['http:', 'p.example:3128', undefined]],
    ['https://p.example', ['https:', 'p.example', undefined]],
    ['[::1]:3128', ['http:', '[::1]:3128', undefined]],
    ['socks5h://p.example', ['socks5:', 'p.example:1080', undefined]],
    ['socks5://u:p@p.example:99', ['socks5:', 'p.example:99', 'u|p']],
    ['socks://p.example', ['socks5:', 'p.example:1080', undefined]],
    ['http://user@p.example', ['http:', 'p.example', 'user|']],
    ['user:pass@p.example:1', ['http:', 'p.example:1', 'user|pass']],
    ['http://user:p%40ss%2f@p.example', ['http:', 'p.example', 'user|p@ss/']],
    ['http://us@er:p@ss:w@p.example', ['http:', 'p.example', 'us@er|p@ss:w']],
    ['http://user:100%@p.example', ['http:', 'p.example', 'user|100%']],
    ['http://user:a/b#c?d@p.example:3128/', ['http:', 'p.example:3128', 'user|a/b#c?d']],
    ['http://user:pä ss@p.example', ['http:', 'p.example', 'user|pä ss']],
  ])('is read: %s', (value, expected) => expect(parsed(value)).toEqual(expected));

  it.each([
    'http://',
    'ftp://p.example',
    'socks4://p.example',
    'http://p example',
    'http://p.example:port',
    ':3128',
    'http://u:secret@',
  ])('is named where it names no proxy: %s', value => {
    try {
      parseProxy({ name: 'https_proxy', value });
    } catch (error) {
      expect(error).toMatchObject({ code: 'usage', facts: { variable: 'https_proxy' } });
      expect(String(error)).toContain('https_proxy');
      expect(String(error)).not.toContain('secret');
      return;
    }
    expect.unreachable();
  });

  it('of blanks is none, and that of the other scheme does not count', () => {
    const http = { name: 'http_proxy', value: '  ' };
    const https = { name: 'https_proxy', value: 'p.example:1' };
    expect(proxyFor(new URL('http://a.example'), { http, https })).toBeUndefined();
    expect(proxyFor(new URL('https://a.example'), { http, https })?.url.host).toBe('p.example:1');
    expect(proxyFor(new URL('https://localhost'), { http, https })).toBeUndefined();
    expect(proxyFor(new URL('https://a.example'), { https, noProxy: 'example' })).toBeUndefined();
  });
});

it.each<[string, string, boolean]>([
  ['http://a.example/', '', false],
  ['http://a.example/', '*', true],
  ['http://a.example/', 'other, *', true],
  ['http://a.example/', 'a.example', true],
  ['http://a.example/', 'A.Example', true],
  ['http://a.example/', 'example', true],
  ['http://a.example/', 'b.example', false],
  ['http://ba.example/', 'a.example', false],
  ['http://a.example.org/', 'a.example', false],
  ['http://sub.a.example/', '.a.example', true],
  ['http://a.example/', '.a.example', false],
  ['http://sub.a.example/', '*.a.example', true],
  ['http://a.example/', '*.a.example', false],
  ['http://a.example/', ' x ,\ta.example , y', true],
  ['http://a.example/', 'x y a.example', true],
  ['http://a.example/', ',,', false],
  ['http://a.example/', 'a.example.', true],
  ['http://a.example./', 'a.example', true],
  ['http://a.example/', 'a.example:80', true],
  ['https://a.example/', 'a.example:80', false],
  ['https://a.example/', 'a.example:443', true],
  ['https://a.example:5000/', 'a.example:5000', true],
  ['https://a.example:5000/', 'a.example', true],
  ['https://a.example:5000/', '.example:5000', true],
  ['http://10.1.2.3/', '10.0.0.0/8', true],
  ['http://11.1.2.3/', '10.0.0.0/8', false],
  ['http://10.1.2.3/', '10.1.2.3', true],
  ['http://10.1.2.3:81/', '10.1.2.3:80', false],
  ['http://10.1.2.30/', '10.1.2.3', false],
  ['http://a.example/', '10.0.0.0/8', false],
  ['http://a.example/', '10.0.0.0/99', false],
  ['http://[fd00::1]/', 'fd00::/8', true],
  ['http://[fd00::1]/', 'fd00:0::1', true],
  ['http://[fd00::1]:81/', '[fd00::1]:81', true],
  ['http://[fd00::1]/', '[fd00::2]', false],
])('reaches %s directly with NO_PROXY=%j: %s', (url, list, expected) => {
  expect(isDirect(new URL(url), list)).toBe(expected);
});

describe('requests through a proxy', () => {
  const OPTIONS = { delay: async () => {}, retry: { patienceMs: 0 }, connectTimeoutMs: 2000 };

  async function listen(server: Server, scope: AsyncScope): Promise<string> {
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    scope.defer(() => void server.close());
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('ask it for what is http, with its own login, and for a tunnel to what is https', async () => {
    await using scope = new AsyncScope();
    const seen: unknown[] = [];
    const proxy = createServer((request, response) => {
      seen.push([
        request.method,
        request.url,
        request.headers.host,
        request.headers['proxy-authorization'],
        request.headers.authorization,
      ]);
      response.end('fine');
    });
    proxy.on('connect', (request, socket) => {
      seen.push([request.method, request.url, request.headers['proxy-authorization']]);
      socket.end('HTTP/1.1 502 No\r\n\r\n');
    });
    const value = `u:p@${await listen(proxy, scope)}`;
    const variable = { name: 'http_proxy', value };
    const client = scope.use(new HttpClient({ ...OPTIONS, proxy: { http: variable, https: variable } }));
    const headers = { authorization: 'Basic eA==' };
    const response = await client.request({
      method: 'PUT',
      url: new URL('http://a.invalid/x?y'),
      headers,
      body: Buffer.from('b'),
    });
    expect((await response.bytes(10)).toString()).toBe('fine');
    await expect(client.request({ url: new URL('https://b.invalid/') })).rejects.toMatchObject({
      code: 'network',
      message: expect.stringMatching(/through the proxy \*\*\*@127\.0\.0\.1:\d+, which http_proxy names/) as string,
    });
    const login = `Basic ${Buffer.from('u:p').toString('base64')}`;
    expect(seen).toEqual([
      ['PUT', 'http://a.invalid/x?y', 'a.invalid', login, 'Basic eA=='],
      ['CONNECT', 'b.invalid:443', login],
    ]);
  });

  it('go through SOCKS with the name of the host', async () => {
    await using scope = new AsyncScope();
    const server = createServer((_, response) => void response.end('fine'));
    const [, port] = (await listen(server, scope)).split(':');
    let asked = '';
    // RFC 1928: no authentication, then CONNECT to a name.
    const socks = createSocketServer(socket => {
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(Buffer.of(5, 0));
        socket.once('data', (bytes: Buffer) => {
          asked = bytes.toString('latin1', 5, 5 + bytes[4]!);
          const upstream = connect(Number(port), '127.0.0.1', () => {
            socket.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
            upstream.pipe(socket).pipe(upstream);
          });
          upstream.on('error', () => {});
          scope.defer(() => void [upstream.destroy(), socket.destroy()]);
        });
      });
    });
    const value = `socks5h://${await listen(socks, scope)}`;
    const client = scope.use(new HttpClient({ ...OPTIONS, proxy: { http: { name: 'all_proxy', value } } }));
    const response = await client.request({ url: new URL('http://a.invalid/') });
    expect([(await response.bytes(10)).toString(), asked]).toEqual(['fine', 'a.invalid']);
  });

  it.each(['http', 'socks5 with a login'])(
    'speak TLS with the server through a tunnel, and keep it: %s',
    async kind => {
      await using scope = new AsyncScope();
      const { key, cert } = certificateFor('b.invalid');
      const server = createSecureServer({ key, cert }, (request, response) => void response.end(request.headers.host));
      const port = Number((await listen(server, scope)).split(':')[1]);
      const asked: string[] = [];
      const join = (socket: Socket) => {
        const upstream = connect(port, '127.0.0.1', () => void upstream.pipe(socket).pipe(upstream));
        for (const one of [socket, upstream]) one.on('error', () => {});
        scope.defer(() => void [upstream.destroy(), socket.destroy()]);
      };
      const http = createServer().on('connect', (request, socket) => {
        asked.push(`${request.url} ${request.headers['proxy-authorization']}`);
        socket.write('HTTP/1.1 200 Yes\r\n\r\n');
        join(socket as Socket);
      });
      // RFC 1929 after RFC 1928; replies come in pieces.
      const serve = async (socket: Socket) => {
        socket.on('error', () => {});
        const heard: Buffer[] = [];
        for (const reply of [
          [5, 2],
          [1, 0],
          [5, 0, 0, 3, 1, 65, 0, 0],
        ]) {
          heard.push((await once(socket, 'data'))[0] as Buffer);
          for (const byte of reply) socket.write(Buffer.of(byte));
        }
        const [, login, wanted] = heard.map(bytes => bytes.toString('latin1'));
        asked.push(`${wanted!.slice(5, -2)}:${heard[2]!.readUInt16BE(heard[2]!.length - 2)} ${login!.slice(1)}`);
        join(socket);
      };
      const socks = createSocketServer(socket => void serve(socket));
      const address = await listen(kind === 'http' ? http : socks, scope);
      const value = kind === 'http' ? `http://u:p@${address}` : `socks5://u:p@${address}`;
      const client = scope.use(new HttpClient({ ...OPTIONS, proxy: { https: { name: 'https_proxy', value } } }));
      const url = new URL('https://b.invalid/');
      const tls = { ca: [cert] };
      for (let round = 0; round < 2; round++) {
        const response = await client.request({ url, tls });
        expect((await response.bytes(100)).toString()).toBe('b.invalid');
      }
      await expect(client.request({ url })).rejects.toMatchObject({ facts: { reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
      const login = `Basic ${Buffer.from('u:p').toString('base64')}`;
      const one = kind === 'http' ? `b.invalid:443 ${login}` : 'b.invalid:443 \u0001u\u0001p';
      expect(asked).toEqual([one, one]);
    },
  );

  it('leave out this machine and what NO_PROXY lists', async () => {
    await using scope = new AsyncScope();
    const asked: (string | undefined)[] = [];
    const proxy = createServer((request, response) => {
      asked.push(request.url);
      response.end();
    });
    const value = await listen(proxy, scope);
    const client = scope.use(
      new HttpClient({ ...OPTIONS, proxy: { http: { name: 'http_proxy', value }, noProxy: 'a.invalid' } }),
    );
    await (await client.request({ url: new URL(`http://${value}/self`) })).discard();
    await expect(client.request({ url: new URL('http://a.invalid/') })).rejects.toMatchObject({ code: 'network' });
    expect(asked).toEqual(['/self']);
  });
});
