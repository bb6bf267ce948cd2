import { StkError, redact } from '../core/errors.ts';
import type { HttpClient } from './http.ts';

/** The text behind a URL. Throws `not-found`, `registry`, `network`. */
export async function readText(
  client: HttpClient,
  url: string,
  maxBytes: number,
  signal?: AbortSignal,
): Promise<string> {
  const response = await client.request({ url: new URL(url), signal });
  if (response.status !== 200) {
    await response.discard();
    const code = response.status === 404 ? 'not-found' : 'registry';
    throw new StkError(code, `GET ${redact(url)} answered ${response.status}`, { facts: { status: response.status } });
  }
  return (await response.bytes(maxBytes)).toString('utf8');
}
