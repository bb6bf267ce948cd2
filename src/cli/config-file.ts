import path from 'node:path';
import { nearest } from '../core/diagnostics.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { absPath, type AbsPath } from '../core/paths.ts';
import { DEFAULT_LIMITS } from '../caches/cache-limits.ts';
import { readFile } from '../host/files.ts';
import { readPrivileges } from '../host/privileges.ts';
import { findOtherWriter } from '../host/root-only.ts';
import { parseCacheSettings, type CacheSettings } from './cache-settings.ts';

type Setting = string | boolean | readonly string[] | CacheSettings;

/** Keys of the configuration file, and the setting that each one stands for: the global options, and what has no option. */
const KEYS = {
  stk_dir: 'stkDir',
  oci_dir: 'ociDir',
  work_dir: 'workDir',
  log_file: 'logFile',
  progress: 'progress',
  debug: 'debug',
  patience: 'patience',
  caches: 'caches',
  trusted_images: 'trustedImages',
  lazy_cache_size: 'lazyCacheSize',
  lazy_patience: 'lazyPatience',
  stacker_dir: 'stackerDir',
  rootfs_dir: 'rootsDir',
} as const;
/** Said to be stacker's, so that hints do not name them. */
const OF_STACKER: readonly string[] = ['stacker_dir', 'rootfs_dir'];

/**
 * The user's defaults for global options from `--config FILE` or `$XDG_CONFIG_HOME/stk/config.yaml`, and where there is no
 * such file from stacker's `$XDG_CONFIG_HOME/stacker/conf.yaml`; without a file there are none. Relative paths resolve as
 * they do on the command line. Throws `usage` for what is not understood, except of stacker's own file, where it is
 * passed over.
 */
export async function readConfigFile(
  chosen: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  workingDirectory: string,
): Promise<Readonly<Record<string, Setting>>> {
  const home = environment['XDG_CONFIG_HOME'] || (environment['HOME'] && path.join(environment['HOME'], '.config'));
  const places = home ? ['stk/config.yaml', 'stacker/conf.yaml'].map(name => path.join(home, name)) : [];
  for (const file of chosen === undefined ? places : [chosen]) {
    const text = await readFile(absPath(file, workingDirectory), 'utf8').catch((cause: unknown) => {
      if (chosen === undefined && ['ENOENT', 'ENOTDIR', 'EACCES'].includes(errnoOf(cause) ?? '')) return undefined;
      throw new StkError('not-found', `cannot read the configuration file ${file}`, { cause });
    });
    if (text !== undefined) {
      return parseSettings(absPath(file, workingDirectory), text, file === places[1]);
    }
  }
  return {};
}

async function parseSettings(
  file: AbsPath,
  text: string,
  isForeign: boolean,
): Promise<Readonly<Record<string, Setting>>> {
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
  const isTaken = (key: string) => !isForeign || (Object.hasOwn(KEYS, key) && key !== 'trusted_images');
  const settings = Object.entries(value).filter(([key]) => isTaken(key));
  if (settings.some(([key]) => key === 'trusted_images')) await assertRootOnly(file);
  return Object.fromEntries(settings.map(([key, setting]) => option(file, key, setting)));
}

/** Whom the kernel may trust as root, only root may say: through `sudo` the file can be another user's. */
async function assertRootOnly(file: AbsPath): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { initialUserNamespace } = await readPrivileges();
  const writer = initialUserNamespace ? await findOtherWriter(file) : undefined;
  if (writer === undefined) return;
  throw new StkError('usage', `${file}: trusted_images counts only where nobody but root can write it: ${writer}`, {
    hint: 'keep it in a file of root, and name that with --config',
  });
}

function option(file: string, key: string, setting: unknown): readonly [string, Setting] {
  const name = Object.hasOwn(KEYS, key) ? KEYS[key as keyof typeof KEYS] : undefined;
  if (name === undefined) {
    const own = Object.keys(KEYS).filter(one => !OF_STACKER.includes(one));
    const near = nearest(key, own);
    throw new StkError('usage', `${file}: unknown setting ${key}`, {
      hint: near ? `did you mean ${near}?` : `the settings are ${own.join(', ')}`,
    });
  }
  if (name === 'caches') return [name, parseCacheSettings(file, setting, DEFAULT_LIMITS)];
  if (name === 'trustedImages') {
    if (Array.isArray(setting) && setting.every(item => typeof item === 'string')) return [name, setting];
    throw new StkError('usage', `${file}: ${key} is no list of patterns such as oci:/srv/images:*`);
  }
  const wanted = name === 'debug' ? 'boolean' : 'string';
  if (typeof setting !== wanted) throw new StkError('usage', `${file}: ${key} is no ${wanted}`);
  if (name === 'progress' && !['auto', 'tty', 'plain', 'json', 'quiet'].includes(String(setting))) {
    throw new StkError('usage', `${file}: progress is one of auto, tty, plain, json, quiet`);
  }
  return [name, setting as string | boolean];
}
