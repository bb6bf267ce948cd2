import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { WireError } from './transport-error.ts';

/** One request as it goes over the wire. */
export interface Exchange {
  readonly url: URL;
  readonly method: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** Longest silence before the answer's header, and between two pieces of the body. */
  readonly headersTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Where an exchange goes: whose connections it takes, and the proxy that is asked in the server's place. */
export interface Route {
  readonly agent: http.Agent;
  readonly proxy: { readonly url: URL; readonly authorization: string | undefined } | undefined;
  readonly connectTimeoutMs: number;
}

const MAX_HEADER_BYTES = 64 * 1024;

/**
 * Sends a request and waits for the header of its answer. The answer's body must be read to the end or destroyed. A kept
 * connection that the server closed meanwhile is replaced once, where there is no body to send.
 */
export async function exchange(request: Exchange, route: Route): Promise<IncomingMessage> {
  for (let attempt = 1; ; attempt++) {
    const sent = begin(request, route);
    try {
      return await answerTo(sent, request, route.connectTimeoutMs);
    } catch (error) {
      const isStale = sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET';
      if (!isStale || attempt > 1 || request.body !== undefined || request.signal?.aborted) throw error;
    }
  }
}

function begin({ url, method, headers, signal }: Exchange, { agent, proxy }: Route): ClientRequest {
  const to = proxy?.url ?? url;
  const { request } = to.protocol === 'https:' ? https : http;
  return request({
    agent,
    method,
    hostname: bareHost(to),
    port: to.port,
    path: `${proxy ? url.origin : ''}${url.pathname}${url.search}`,
    headers: {
      host: url.host,
      ...headers,
      ...(proxy?.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }),
    },
    maxHeaderSize: MAX_HEADER_BYTES,
    ...(signal ? { signal } : {}),
  });
}

/** Without the brackets of an address of IPv6. */
export function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

async function answerTo(sent: ClientRequest, request: Exchange, connectTimeoutMs: number): Promise<IncomingMessage> {
  let answer: IncomingMessage | undefined;
  let silence: NodeJS.Timeout | undefined;
  const late = setTimeout(() => {
    sent.destroy(new WireError('CONNECT_TIMEOUT', `no connection in ${connectTimeoutMs} ms`));
  }, connectTimeoutMs);
  const onConnected = () => {
    clearTimeout(late);
    silence = setTimeout(() => {
      sent.destroy(new WireError('HEADERS_TIMEOUT', `no answer in ${request.headersTimeoutMs} ms`));
    }, request.headersTimeoutMs);
  };
  sent.once('socket', socket => {
    const isTls = 'encrypted' in socket;
    if (sent.reusedSocket || (!isTls && !socket.connecting)) onConnected();
    else socket.once(isTls ? 'secureConnect' : 'connect', onConnected);
  });
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      sent.on('error', reject);
      sent.once('response', response => {
        answer = response;
        // Who has answered already hears no more of the body; its connection is of no use then.
        response.once('close', () => void (sent.writableFinished || sent.destroy()));
        resolve(response);
      });
      const sending = sendBody(sent, request, {
        isOver: () => answer !== undefined || sent.destroyed,
        onPiece: () => silence?.refresh(),
      });
      sending.catch((error: unknown) => {
        reject(error);
        sent.destroy();
      });
    });
  } finally {
    clearTimeout(late);
    clearTimeout(silence);
  }
}

interface Sending {
  /** The rest of the body is not wanted. */
  readonly isOver: () => boolean;
  readonly onPiece: () => void;
}

/** Throws what the body's source throws, and `LENGTH_MISMATCH` for another length than the header says. */
async function sendBody(sent: ClientRequest, { body, headers }: Exchange, sending: Sending): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) {
    sent.end(body);
    return;
  }
  const stated = headers['content-length'];
  let sentBytes = 0;
  for await (const piece of body) {
    if (sending.isOver()) return;
    sentBytes += piece.byteLength;
    if (stated !== undefined && sentBytes > Number(stated)) throw otherLength(stated, sentBytes);
    sending.onPiece();
    if (!sent.write(piece)) await drained(sent, sending);
  }
  if (sending.isOver()) return;
  if (stated !== undefined && sentBytes !== Number(stated)) throw otherLength(stated, sentBytes);
  sent.end();
}

/** Waits until more can be written, or nothing is wanted any more. */
async function drained(sent: ClientRequest, { isOver, onPiece }: Sending): Promise<void> {
  await new Promise<void>(resolve => {
    const events = ['drain', 'response', 'error', 'close'] as const;
    const go = () => {
      for (const event of events) sent.off(event, go);
      resolve();
    };
    if (isOver()) resolve();
    else for (const event of events) sent.on(event, go);
  });
  onPiece();
}

function otherLength(stated: string, foundBytes: number): WireError {
  return new WireError('REQUEST_LENGTH', `a body of ${foundBytes} bytes or more where ${stated} were announced`);
}
