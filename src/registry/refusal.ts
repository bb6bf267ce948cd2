import { StkError, type ErrorCode } from '../core/errors.ts';
import type { HttpResponse } from '../host/http-response.ts';
import { showUrl } from '../host/http-url.ts';

const MAX_ERROR_BYTES = 8192;
const MAX_MESSAGE_LENGTH = 300;

/**
 * What a registry refused, with what it said about it (distribution-spec, "Error Codes"). Consumes the body.
 * 401 and 403 are `unauthorized`, 404 is `not-found`, everything else `registry`.
 * @param attempted completes "cannot …", such as `read docker://host/repo:tag`
 */
export async function refusal(response: HttpResponse, attempted: string): Promise<StkError> {
  const { status } = response;
  const said = saidIn(await response.excerpt(MAX_ERROR_BYTES), response.header('content-type'));
  return new StkError(
    codeOf(status),
    `cannot ${attempted}: the registry answered ${status}${said === '' ? '' : ` (${said})`}`,
    {
      ...hintOf(status),
      facts: { url: showUrl(response.url), status },
    },
  );
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'unauthorized';
  return status === 404 ? 'not-found' : 'registry';
}

function hintOf(status: number): { hint?: string } {
  if (status === 401 || status === 403) return { hint: 'check the name, and that your login may do this: stk login' };
  if (status === 404) return { hint: 'check the name and the tag; private images look missing without a login' };
  if (status === 429) return { hint: 'the registry limits how often it is asked: log in, or try later' };
  return status >= 500 ? { hint: 'the registry has a problem: try later' } : {};
}

function saidIn(body: string, contentType: string | undefined): string {
  if (contentType?.includes('json') !== true) return '';
  try {
    const { errors } = JSON.parse(body) as { errors?: unknown };
    if (!Array.isArray(errors)) return '';
    const parts = errors.slice(0, 3).map((error: unknown) => {
      const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
      return [code, message].filter(part => typeof part === 'string' && part !== '').join(': ');
    });
    return parts.join('; ').replaceAll(/\s+/g, ' ').slice(0, MAX_MESSAGE_LENGTH);
  } catch {
    return '';
  }
}
