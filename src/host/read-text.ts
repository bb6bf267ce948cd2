import { StkError } from '../core/errors.ts';
import { showUrl } from './http-url.ts';
import type { HttpClient, HttpRequest } from './http.ts';

/** The text behind a URL, at most so many bytes of it. Throws `not-found`, `registry`, `network`. */
export async function readText(
  client: HttpClient,
  request: Pick<HttpRequest, 'url' | 'headers' | 'signal'>,
  maxBytes: number,
): Promise<string> {
  const response = await client.request(request);
  if (response.status !== 200) {
    await response.discard();
    const code = response.status === 404 ? 'not-found' : 'registry';
    const message = `GET ${showUrl(request.url)} answered ${response.status}`;
    throw new StkError(code, message, { facts: { status: response.status } });
  }
  return (await response.bytes(maxBytes)).toString('utf8');
}
