import { StkError } from '../../core/errors.ts';
import { runTool } from '../exec.ts';

export interface CredentialHelperOptions {
  /** What the helper may see of the environment: keychains need `HOME`, a session bus, … */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `docker-credential-<helper> get`: the server on stdin, JSON on stdout. `undefined` if it has nothing for the
 * server. Nothing it prints enters an error.
 */
export async function askDockerCredentialHelper(
  helper: string,
  server: string,
  options: CredentialHelperOptions = {},
): Promise<{ readonly username: string; readonly secret: string } | undefined> {
  const tool = `docker-credential-${helper}`;
  const { stdout, exitCode } = await runTool(tool, ['get'], {
    input: server,
    ...(options.env ? { env: options.env } : {}),
    signal: options.signal,
    okExitCodes: [0, 1],
  });
  // Status 1 with this text is the protocol's "not found"; any other 1 is a failure.
  if (exitCode === 1) {
    if (/credentials not found/i.test(stdout.toString('utf8'))) return undefined;
    throw new StkError('tool-failed', `${tool} could not look up ${server}`, { facts: { tool, exitCode } });
  }
  let answer: unknown;
  try {
    answer = JSON.parse(stdout.toString('utf8'));
  } catch {
    answer = undefined;
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as { Username?: unknown; Secret?: unknown };
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new StkError('tool-failed', `${tool} answered with no user name and secret`, { facts: { tool } });
  }
  return secret === '' ? undefined : { username, secret };
}
