import { BlockList, isIP } from 'node:net';
import { StkError } from '../core/errors.ts';
import { isLoopbackHost } from './http-url.ts';

/** Proxies as the usual environment variables name them. Loopback hosts are never reached through one. */
export interface ProxySettings {
  readonly http?: ProxyVariable;
  readonly https?: ProxyVariable;
  /** What is reached directly, see `isDirect`. */
  readonly noProxy?: string;
}

/** A variable and what it holds. */
export interface ProxyVariable {
  readonly name: string;
  readonly value: string;
}

/** A proxy that can be spoken to. */
export interface Proxy {
  /** Without credentials. */
  readonly url: URL;
  /** Value of the header `Proxy-Authorization`. */
  readonly authorization: string | undefined;
  /** User and password for SOCKS. */
  readonly login: { readonly username: string; readonly password: string } | undefined;
  /** For messages. */
  readonly shown: string;
}

const SCHEMES: Readonly<Record<string, string>> = {
  http: 'http',
  https: 'https',
  // Names are resolved by the proxy in any case.
  socks: 'socks5',
  socks5: 'socks5',
  socks5h: 'socks5',
};

/** The proxy for a URL; `undefined` where it is reached directly. Throws `usage` for a variable that names none. */
export function proxyFor(url: URL, settings: ProxySettings): Proxy | undefined {
  const variable = url.protocol === 'https:' ? settings.https : settings.http;
  if (variable === undefined || variable.value.trim() === '') return undefined;
  if (isLoopbackHost(url.hostname) || isDirect(url, settings.noProxy ?? '')) return undefined;
  return parseProxy(variable);
}

/**
 * Reads a variable as curl and programs in Go do: without a scheme it is http; whatever stands before the last `@` is a
 * login, percent-encoded or not; a path means nothing.
 */
export function parseProxy({ name, value }: ProxyVariable): Proxy {
  const text = value.trim();
  const written = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text);
  const rest = text.slice(written?.[0].length ?? 0);
  const at = rest.lastIndexOf('@');
  const host = rest.slice(at + 1).replace(/[/?#].*$/s, '');
  const scheme = SCHEMES[written?.[1]?.toLowerCase() ?? 'http'];
  const shown = `${written?.[0] ?? ''}${at < 0 ? '' : '***@'}${host}`;
  if (scheme === undefined) throw badProxy(name, shown, 'is of a kind that stk does not speak');
  const address = `${scheme}://${host}`;
  if (host === '' || /\s/.test(host) || !URL.canParse(address)) throw badProxy(name, shown, 'names no host');
  const url = new URL(address);
  if (scheme === 'socks5' && url.port === '') url.port = '1080';
  const login = at < 0 ? undefined : loginOf(rest.slice(0, at));
  const authorization =
    login && `Basic ${Buffer.from(`${login.username}:${login.password}`, 'utf8').toString('base64')}`;
  return { url, login, authorization, shown: `${shown}, which ${name} names` };
}

function loginOf(text: string): { username: string; password: string } {
  const colon = text.indexOf(':');
  const [username, password] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
  return { username: decoded(username), password: decoded(password) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A percent sign that begins no escape is one.
    return text;
  }
}

/**
 * Whether a list such as NO_PROXY has the host of a URL: separated by commas or blanks, names with all below them, `.name`
 * and `*.name` for what is below alone, addresses and networks, each with a port or without; `*` is everything.
 */
export function isDirect(url: URL, list: string): boolean {
  const host = bare(url.hostname);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list.split(/[\s,]+/).some(entry => {
    if (entry === '*') return true;
    const [, name = '', wanted] = /^(.*?)(?::(\d{1,5}))?$/s.exec(entry) ?? [];
    // An address of IPv6 alone has colons, but no port.
    const [pattern, onlyPort] = isIP(bare(entry)) === 6 ? [bare(entry), undefined] : [bare(name), wanted];
    if (pattern === '' || (onlyPort !== undefined && onlyPort !== port)) return false;
    if (pattern.includes('/')) return isInNetwork(host, pattern);
    if (isIP(pattern) > 0) return isSameAddress(host, pattern);
    const below = pattern.replace(/^\*?\./, '');
    return host.endsWith(`.${below}`) || (below === pattern && host === pattern);
  });
}

/** Lower case, without brackets and the dot that ends a full name. */
function bare(name: string): string {
  return name
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}

function isInNetwork(host: string, network: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const family = isIP(base);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) {
    return false;
  }
  const list = new BlockList();
  const type = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(base, Number(bits), type);
  return list.check(host, type);
}

function isSameAddress(host: string, address: string): boolean {
  return isInNetwork(host, `${address}/${isIP(address) === 4 ? 32 : 128}`);
}

function badProxy(name: string, shown: string, problem: string): StkError {
  return new StkError('usage', `${name} ${problem}: ${shown.slice(0, 200)}`, {
    hint: `write ${name}=http://HOST:PORT, or unset it`,
    facts: { variable: name },
  });
}
