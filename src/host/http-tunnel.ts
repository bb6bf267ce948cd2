import http from 'node:http';
import https from 'node:https';
import { connect, isIP, type Socket } from 'node:net';
import { bareHost } from './http-exchange.ts';
import type { Proxy } from './http-proxy.ts';
import { WireError } from './transport-error.ts';

export interface TunnelTarget {
  readonly host: string;
  readonly port: number;
}

export interface TunnelOptions {
  readonly timeoutMs: number;
  /** Certificates to trust besides the built-in ones; all that are trusted, where any are given. */
  readonly ca?: readonly string[] | undefined;
}

/** A connection to a host by way of a proxy, which resolves its name. Throws `PROXY_REFUSED`, and what connecting throws. */
export async function openTunnel(proxy: Proxy, target: TunnelTarget, options: TunnelOptions): Promise<Socket> {
  return proxy.url.protocol === 'socks5:' ? openSocks(proxy, target, options) : openConnect(proxy, target, options);
}

/** RFC 9110, section 9.3.6. */
async function openConnect(proxy: Proxy, { host, port }: TunnelTarget, options: TunnelOptions): Promise<Socket> {
  const { url, authorization } = proxy;
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const { request } = url.protocol === 'https:' ? https : http;
  const asked = request({
    method: 'CONNECT',
    hostname: bareHost(url),
    port: url.port,
    path: authority,
    agent: false,
    timeout: options.timeoutMs,
    headers: { host: authority, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
    ...(options.ca === undefined ? {} : { ca: [...options.ca] }),
  });
  return new Promise<Socket>((resolve, reject) => {
    const refuse = (status: number | undefined) =>
      reject(new WireError('PROXY_REFUSED', `the proxy answered ${status} to CONNECT ${authority}`));
    asked.on('error', reject);
    asked.once('timeout', () => asked.destroy(new WireError('CONNECT_TIMEOUT', 'the proxy does not answer')));
    asked.once('response', answer => {
      answer.destroy();
      refuse(answer.statusCode);
    });
    asked.once('connect', (answer, socket) => {
      socket.setTimeout(0);
      if (answer.statusCode === 200) return resolve(socket);
      socket.destroy();
      refuse(answer.statusCode);
    });
    asked.end();
  });
}

const VERSION = 5;
const NO_LOGIN = 0;
const PASSWORD = 2;

/** RFC 1928, and RFC 1929 for the login. */
async function openSocks(proxy: Proxy, target: TunnelTarget, { timeoutMs }: TunnelOptions): Promise<Socket> {
  const socket = connect({ host: bareHost(proxy.url), port: Number(proxy.url.port) });
  const late = setTimeout(
    () => socket.destroy(new WireError('CONNECT_TIMEOUT', 'the proxy does not answer')),
    timeoutMs,
  );
  try {
    const take = takeBytes(socket);
    const methods = proxy.login === undefined ? [NO_LOGIN] : [NO_LOGIN, PASSWORD];
    socket.write(Buffer.of(VERSION, methods.length, ...methods));
    const [version, method] = await take(2);
    if (version !== VERSION) throw new WireError('PROXY_REFUSED', 'the proxy does not speak SOCKS 5');
    if (method === PASSWORD && proxy.login !== undefined) {
      const { username, password } = proxy.login;
      socket.write(Buffer.concat([Buffer.of(1), counted(username), counted(password)]));
      if ((await take(2))[1] !== 0) throw new WireError('PROXY_REFUSED', 'the proxy refuses the login');
    } else if (method !== NO_LOGIN) throw new WireError('PROXY_REFUSED', 'the proxy wants another login');
    const port = Buffer.alloc(2);
    port.writeUInt16BE(target.port);
    socket.write(Buffer.concat([Buffer.of(VERSION, 1, 0), address(target.host), port]));
    const [, reply, , type] = await take(4);
    if (reply !== 0) throw new WireError('PROXY_REFUSED', `the proxy cannot reach the host: reply ${reply}`);
    // The address that the proxy is bound to says nothing to us.
    await take((type === 1 ? 4 : type === 4 ? 16 : (await take(1))[0]!) + 2);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(late);
    socket.removeAllListeners('readable').removeAllListeners('close').removeAllListeners('error');
    socket.on('error', () => {});
  }
}

function counted(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8').subarray(0, 255);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

function address(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.of(1, ...host.split('.').map(Number));
  return Buffer.concat([Buffer.of(3), counted(host)]);
}

/** Exactly so many bytes at a time; what comes after them stays in the socket. */
function takeBytes(socket: Socket): (count: number) => Promise<Buffer> {
  let wake = () => {};
  let failure: Error | undefined;
  socket.on('readable', () => wake());
  socket.on('error', error => {
    failure = error;
    wake();
  });
  socket.on('close', () => {
    failure ??= new WireError('PROXY_REFUSED', 'the proxy closed the connection');
    wake();
  });
  return async count => {
    for (;;) {
      const bytes = socket.read(count) as Buffer | null;
      if (bytes !== null && bytes.length === count) return bytes;
      if (failure) throw failure;
      await new Promise<void>(resolve => (wake = resolve));
    }
  };
}
