import { StkError, errnoOf, interrupted, isStkError, messageOf } from '../core/errors.ts';
import type { Patience } from './patience.ts';
import { showUrl } from './http-url.ts';

/** The place where a request went, for messages. */
export interface RequestContext {
  readonly method: string;
  readonly url: URL;
  /** The proxy that it goes through. */
  readonly via?: string | undefined;
  /** Hears of every piece of the answer. */
  readonly patience?: Patience;
  readonly signal: AbortSignal | undefined;
}

/** What a connection fails with, besides what the codes of the system and of Node say. */
export type WireCode =
  'CONNECT_TIMEOUT' | 'HEADERS_TIMEOUT' | 'BODY_TIMEOUT' | 'CUT_SHORT' | 'REQUEST_LENGTH' | 'PROXY_REFUSED';

/** Thrown by what speaks HTTP here. */
export class WireError extends Error {
  readonly code: WireCode;

  constructor(code: WireCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface Failure {
  readonly says: string;
  readonly hint?: string;
  /** Trying the same again may help. */
  readonly transient?: true;
}

const LATER = 'the server, or something on the way to it, is stuck: try again later';
const ADDRESS = 'check the address, the network, firewalls and proxies';

/** What a connection may fail with, by the codes of Node and `WireError`. */
const FAILURES: Readonly<Record<string, Failure>> = {
  ENOTFOUND: { says: 'there is no such host', hint: 'check the host name and the name server' },
  EAI_AGAIN: {
    says: 'the name server does not answer',
    hint: 'check the host name and the name server',
    transient: true,
  },
  ECONNREFUSED: {
    says: 'nobody answers at that port',
    hint: 'check that the server is running and the port is right',
    transient: true,
  },
  ECONNRESET: { says: 'the connection was cut off', hint: LATER, transient: true },
  EPIPE: { says: 'the connection was cut off', hint: LATER, transient: true },
  ETIMEDOUT: { says: 'the connection timed out', hint: ADDRESS, transient: true },
  ENETUNREACH: { says: 'there is no way to its network', hint: ADDRESS, transient: true },
  EHOSTUNREACH: { says: 'there is no way to the host', hint: ADDRESS, transient: true },
  CONNECT_TIMEOUT: { says: 'no connection came about in time', hint: ADDRESS, transient: true },
  HEADERS_TIMEOUT: { says: 'no answer came in time', hint: LATER, transient: true },
  BODY_TIMEOUT: { says: 'the answer stopped half-way', hint: LATER, transient: true },
  CUT_SHORT: {
    says: 'the answer has another length than it says',
    hint: LATER,
    transient: true,
  },
  REQUEST_LENGTH: { says: 'there are more or fewer bytes to send than there should be' },
  HPE_HEADER_OVERFLOW: {
    says: 'the headers of the answer are too long',
    hint: 'check that it is the right server',
  },
  PROXY_REFUSED: { says: 'the proxy refuses the connection', hint: 'check https_proxy' },
};

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/CERT|SELF_SIGNED|^UNABLE_TO_/, "give the server's CA certificate, or allow insecure TLS for it"],
  [/^(ERR_SSL_|EPROTO)/, 'the server may speak plain http: allow insecure access for it if that is meant'],
  [/^HPE_/, 'check the port, and whether it is https that is spoken there'],
];

/** Wraps what the transport threw, once: `interrupted` after an abort, else `network` with the reason's code. */
export function transportError(error: unknown, context: RequestContext): StkError {
  if (context.signal?.aborted) return interrupted(context.signal);
  if (isStkError(error)) return error;
  const reason = errnoOf(error) ?? 'unknown';
  const known = Object.hasOwn(FAILURES, reason) ? FAILURES[reason] : undefined;
  const hint = known?.hint ?? HINTS.find(([pattern]) => pattern.test(reason))?.[1];
  const through = context.via === undefined ? '' : ` through the proxy ${context.via},`;
  const says = known?.says ?? (reason.startsWith('HPE_') ? 'the answer is no HTTP' : messageOf(error) || reason);
  return new StkError('network', `${context.method} ${showUrl(context.url)}${through} failed: ${says}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
    facts: { method: context.method, url: showUrl(context.url), reason },
  });
}

/** Whether trying the same again may help: the connection broke or timed out, and patience is not at an end. */
export function isTransient(error: unknown): error is StkError {
  if (!isStkError(error, 'network') || error.facts['gaveUp'] === true) return false;
  const reason = String(error.facts['reason']);
  return Object.hasOwn(FAILURES, reason) && FAILURES[reason]!.transient === true;
}

/** Whether no connection came about at all. */
export function isUnreachable(error: StkError): boolean {
  const { reason } = error.facts;
  return /^(ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EAI_AGAIN|ETIMEDOUT|CONNECT_TIMEOUT)$/.test(String(reason));
}

/** Whether the server's certificate was not accepted. */
export function isCertificateError(error: unknown): boolean {
  return isStkError(error, 'network') && /CERT|SELF_SIGNED|^UNABLE_TO_/.test(String(error.facts['reason']));
}

/** For a body that ended in order but too soon: transient, like a dropped connection. */
export function cutShort(url: URL, sizeBytes: number, foundBytes: number): StkError {
  return new StkError('network', `${showUrl(url)}: the answer ended after ${foundBytes} of ${sizeBytes} bytes`, {
    hint: LATER,
    facts: { url: showUrl(url), sizeBytes, foundBytes, reason: 'CUT_SHORT' },
  });
}

export function timedOut(context: RequestContext): StkError {
  return new StkError('network', `${context.method} ${showUrl(context.url)}: the answer took too long`, {
    hint: LATER,
    facts: { method: context.method, url: showUrl(context.url), reason: 'BODY_TIMEOUT' },
  });
}

/** What a try failed with, in a few words. */
export function problemOf(error: StkError): string {
  const reason = String(error.facts['reason']);
  return Object.hasOwn(FAILURES, reason) ? FAILURES[reason]!.says : error.message;
}
