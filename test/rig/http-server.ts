import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { HttpClient, type HttpClientOptions } from '../../src/host/http.ts';

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** A client and a server that answers as told. */
export interface Rig extends AsyncDisposable {
  readonly client: HttpClient;
  readonly delays: number[];
  readonly requests: IncomingMessage[];
  readonly ports: (number | undefined)[];
  readonly url: URL;
  /** The same server seen as another origin. */
  readonly otherUrl: URL;
}

export async function start(handler: Handler, options: HttpClientOptions = {}): Promise<Rig> {
  const scope = new AsyncScope();
  const requests: IncomingMessage[] = [];
  const ports: (number | undefined)[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    ports.push(request.socket.remotePort);
    handler(request, response, requests.length);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  scope.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const delays: number[] = [];
  const delay = async (delayMs: number) => void delays.push(delayMs);
  const client = scope.use(new HttpClient({ delay, random: () => 1, now: () => 0, ...options }));
  const { port } = server.address() as AddressInfo;
  return {
    client,
    delays,
    requests,
    ports,
    url: new URL(`http://127.0.0.1:${port}/a?x=1`),
    otherUrl: new URL(`http://localhost:${port}/b`),
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
}

export const ok = (response: ServerResponse) => void response.writeHead(200).end('fine');
