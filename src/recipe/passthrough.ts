/** Host variables that `run` sees where `build_env_passthrough` is not set. */
export const DEFAULT_PASSTHROUGH: readonly string[] = [
  ...['ftp_proxy', 'http_proxy', 'https_proxy', 'no_proxy'],
  ...['FTP_PROXY', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'],
  ...['TERM', 'SOURCE_DATE_EPOCH'],
];

/**
 * A pattern of `build_env_passthrough`, anchored at both ends; `undefined` if it is no regular expression. A leading
 * `(?i)`, `(?s)` or `(?m)` becomes a flag, as in RE2.
 */
export function passthroughPattern(text: string): RegExp | undefined {
  const flags = /^\(\?([ims]+)\)/.exec(text);
  const unique = [...new Set(flags?.[1] ?? '')].join('');
  try {
    return new RegExp(`^(?:${text.slice(flags?.[0].length ?? 0)})$`, unique);
  } catch {
    return undefined;
  }
}

/** The variables of `env` whose whole names match one of the patterns; the default ones where `patterns` is `undefined`. */
export function passEnvironment(
  patterns: readonly string[] | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const compiled = (patterns ?? DEFAULT_PASSTHROUGH).flatMap(text => passthroughPattern(text) ?? []);
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && compiled.some(pattern => pattern.test(name)) ? [[name, value] as const] : [],
    ),
  );
}
