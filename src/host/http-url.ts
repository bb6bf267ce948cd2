import { redact } from '../core/errors.ts';

/** `localhost`, 127.0.0.0/8 or `[::1]`, as `URL.hostname` writes them. Other names are not looked up. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname);
}

/** A URL for messages: no user, no query (signed URLs carry their secret there), at most 300 characters. */
export function showUrl(url: URL): string {
  const text = redact(`${url.origin}${url.pathname}`);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
