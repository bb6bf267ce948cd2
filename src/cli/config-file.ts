import path from 'node:path';
import { nearest } from '../core/diagnostics.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { absPath } from '../core/paths.ts';
import { readFile } from '../host/files.ts';

/** Keys of the configuration file, which are those of the global options, and the option that each one stands for. */
const KEYS = {
  stk_dir: 'stkDir',
  oci_dir: 'ociDir',
  work_dir: 'workDir',
  log_file: 'logFile',
  progress: 'progress',
  debug: 'debug',
} as const;

/**
 * The user's defaults for global options from `--config FILE` or `$XDG_CONFIG_HOME/stk/config.yaml`; without a file
 * there are none. Relative paths resolve as they do on the command line. Throws `usage` for what is not understood.
 */
export async function readConfigFile(
  chosen: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string,
): Promise<Readonly<Record<string, string | boolean>>> {
  const home = environment['XDG_CONFIG_HOME'] || (environment['HOME'] && path.join(environment['HOME'], '.config'));
  const file = chosen ?? (home && path.join(home, 'stk', 'config.yaml'));
  if (!file) return {};
  const text = await readFile(absPath(file, workingDirectory), 'utf8').catch((cause: unknown) => {
    if (chosen === undefined && ['ENOENT', 'ENOTDIR', 'EACCES'].includes(errnoOf(cause) ?? '')) return undefined;
    throw new StkError('not-found', `cannot read the configuration file ${file}`, { cause });
  });
  if (text === undefined) return {};
  const { parseYaml } = await import('./parse-yaml.ts');
  let value: unknown;
  try {
    value = parseYaml(text);
  } catch (cause) {
    throw new StkError('usage', `${file} is not YAML: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new StkError('usage', `${file} is not a map of settings`);
  return Object.fromEntries(Object.entries(value).map(([key, setting]) => option(file, key, setting)));
}

function option(file: string, key: string, setting: unknown): readonly [string, string | boolean] {
  const name = Object.hasOwn(KEYS, key) ? KEYS[key as keyof typeof KEYS] : undefined;
  if (name === undefined) {
    const near = nearest(key, Object.keys(KEYS));
    throw new StkError('usage', `${file}: unknown setting ${key}`, {
      hint: near ? `did you mean ${near}?` : `the settings are ${Object.keys(KEYS).join(', ')}`,
    });
  }
  const wanted = name === 'debug' ? 'boolean' : 'string';
  if (typeof setting !== wanted) throw new StkError('usage', `${file}: ${key} is no ${wanted}`);
  if (name === 'progress' && !['auto', 'tty', 'plain', 'json', 'quiet'].includes(String(setting))) {
    throw new StkError('usage', `${file}: progress is one of auto, tty, plain, json, quiet`);
  }
  return [name, setting as string | boolean];
}
