import { StkError, redact } from '../core/errors.ts';

/** `localhost`, 127.0.0.0/8 or `[::1]`, as `URL.hostname` writes them. Other names are not looked up. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);
}

/** A URL for messages: no user, no query (signed URLs carry their secret there), at most 300 characters. */
export function showUrl(url: URL): string {
  const text = redact(`${url.origin}${url.pathname}`);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

/**
 * Resolves what a server wrote into a Location or Link header. Throws `registry` for what is no http(s) URL, holds
 * credentials, leaves https, or leads from elsewhere into this machine (the last two only unless `allowUnsafe`).
 */
export function locationUrl(from: URL, location: string, allowUnsafe: boolean): URL {
  if (!URL.canParse(location, from.href)) throw badLocation(from, 'a location that is no URL');
  const to = new URL(location, from);
  if (to.protocol !== 'http:' && to.protocol !== 'https:') throw badLocation(from, `a location of ${to.protocol}`);
  if (to.username !== '' || to.password !== '') throw badLocation(from, 'a location with credentials in it');
  if (allowUnsafe) return to;
  if (from.protocol === 'https:' && isOwnPlainAddress(from, to))
    return new URL(`https://${from.host}${to.pathname}${to.search}`);
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw badLocation(from, `a redirect from https to http (${showUrl(to)})`);
  }
  if (isLoopbackHost(to.hostname) && !isLoopbackHost(from.hostname)) {
    throw badLocation(from, `a redirect into this machine (${showUrl(to)})`);
  }
  return to;
}

/** A registry behind a proxy that ends TLS may not know that it is reached by https, and name itself by http. */
function isOwnPlainAddress(from: URL, to: URL): boolean {
  return to.protocol === 'http:' && to.hostname === from.hostname && (to.port === '' || to.port === from.port);
}

export function badLocation(url: URL, problem: string): StkError {
  return new StkError('registry', `${showUrl(url)} answered with ${problem}`, { facts: { url: showUrl(url) } });
}
