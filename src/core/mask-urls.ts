export interface MaskedUrls {
  readonly text: string;
  /** Where URLs are that hold a login, or a query value that is called like a secret; offsets in the original text. */
  readonly logins: readonly { readonly start: number; readonly end: number }[];
}

/** Scheme, login, host with path, query (RFC 3986); it ends where YAML, JSON or a shell would end it. */
const URLS =
  /(\b[a-z][a-z0-9+.-]{0,30}:\/\/)((?:\$\{\{[^{}]*\}\}|[^/\s"'`<>?#,[\]{}])*@)?([^\s"'`<>?#,[\]{}]*)(\?(?:\$\{\{[^{}]*\}\}|[^\s"'`<>#,[\]{}])*)?/gi;
const PLACEHOLDERS = /^(?:\$\{\{[^{}]*\}\}|:|\*\*\*)*$/;
const SECRET_NAME = /token|pass|secret|key|sig|auth|cred/i;

type UrlGroups = [scheme: string, login: string | undefined, rest: string, query: string | undefined, at: number];

/**
 * Takes out of a text what URLs in it may hold of secrets: logins, and all values of queries, since signed URLs carry
 * their secret there under any name. `${{NAME}}` stays, as what it stands for is elsewhere.
 */
export function maskUrls(text: string): MaskedUrls {
  const logins: { start: number; end: number }[] = [];
  const masked = text.replace(URLS, (url: string, ...groups: UrlGroups) => {
    const [scheme, login = '', rest, query = '', at] = groups;
    const hasLogin = login !== '' && !PLACEHOLDERS.test(login.slice(0, -1));
    const parts: readonly string[] = query.slice(1).split('&');
    const isShown = parts.map(part => PLACEHOLDERS.test(part.slice(part.indexOf('=') + 1)));
    const namesSecret = parts.some((part, index) => !isShown[index] && SECRET_NAME.test(part));
    if (hasLogin || namesSecret) logins.push({ start: at, end: at + url.length });
    const hidden = parts.map((part, index) => (isShown[index] ? part : hideValue(part)));
    return `${scheme}${hasLogin ? '***@' : login}${rest}${query === '' ? '' : `?${hidden.join('&')}`}`;
  });
  return { text: masked, logins };
}

function hideValue(part: string): string {
  const equals = part.indexOf('=');
  if (equals >= 0) return `${part.slice(0, equals)}=***`;
  // A name without a value, or the whole of a query that is nothing but a secret.
  return part.length > 1 ? '***' : part;
}
