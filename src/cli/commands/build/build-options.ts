import { RENUMBER_LIMIT_BYTES } from '../../../apply/accounts/renumber-report.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { BuildOptions, SecretSource } from '../../../builder/options.ts';
import { LAYER_TYPES } from '../../../builder/layer-types.ts';
import { defaultPackOptions, parseCompression } from '../../../layer/pack-options.ts';
import type { Platform } from '../../../oci/descriptor.ts';
import { formatPlatform, hostPlatform, normalizePlatform, parsePlatform } from '../../../oci/platform.ts';
import type { Session } from '../../session.ts';
import type { BuildFlags } from './build-flags.ts';

/** Checks and converts the flags of a build. Throws `usage`. */
export async function buildOptions(
  session: Session,
  names: readonly string[],
  flags: BuildFlags,
): Promise<BuildOptions> {
  const packing = flags.compression === undefined ? defaultPackOptions : parseCompression(flags.compression);
  for (const type of flags.layerType) {
    if (!LAYER_TYPES.includes(type)) {
      throw new StkError('usage', `unknown layer type: ${type}`, { hint: 'the types are squashfs and tar' });
    }
  }
  return {
    names,
    useCache: flags.cache,
    layerTypes: flags.layerType.length === 0 ? ['squashfs'] : flags.layerType,
    packing: { ...packing, verity: flags.verity && flags.squashfsVerity !== false },
    requireHash: flags.requireHash === true,
    jobs: parseJobs(flags.jobs),
    secrets: new Map(await Promise.all(flags.secret.map(spec => parseSecret(spec, session)))),
    epochSeconds: parseEpoch(session.environment['SOURCE_DATE_EPOCH']),
    environment: session.environment,
    platform: hostPlatform(),
    stableIds: flags.stableIds,
    renumberLimitBytes: parseRenumberLimit(flags.renumberLimit),
    annotationsNamespace: flags.annotationsNamespace,
    version: session.version,
  };
}

/** Platforms of `--platform`, each once, in the order that they are named. Throws `usage`. */
export function parsePlatforms(texts: readonly string[]): readonly Platform[] {
  const found = new Map<string, Platform>();
  for (const text of texts.flatMap(list => list.split(','))) {
    const platform = parsePlatform(text.trim());
    const key = formatPlatform(normalizePlatform(platform));
    if (!found.has(key)) found.set(key, platform);
  }
  return [...found.values()];
}

function parseJobs(text: string): number {
  const jobs = Number(text);
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= 256) return jobs;
  throw new StkError('usage', `--jobs ${text} is no number of images`, { hint: 'a whole number from 1 on' });
}

/** Bytes, or so many K, M or G. */
export function parseRenumberLimit(text: string | undefined): number {
  if (text === undefined) return RENUMBER_LIMIT_BYTES;
  const match = /^(\d{1,12})([KMG]?)$/i.exec(text);
  const unit = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[match?.[2]?.toUpperCase() ?? ''] ?? Number.NaN;
  const bytes = Number(match?.[1] ?? Number.NaN) * unit;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new StkError('usage', `--renumber-limit ${text} is no size`, {
    hint: 'bytes, or a number with K, M or G: 256M',
  });
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
export function parseEpoch(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,10}$/.test(text) && Number(text) <= 0xffff_ffff) return Number(text);
  throw new StkError('usage', `SOURCE_DATE_EPOCH=${text} is no time`, {
    hint: 'seconds since 1970, at most 4294967295 (squashfs keeps 32 bits)',
  });
}

/** `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`; with `id` alone, the variable of that name. */
async function parseSecret(spec: string, session: Session): Promise<readonly [string, SecretSource]> {
  const fields = new Map(spec.split(',').map(part => part.split(/=(.*)/s, 2) as [string, string]));
  const id = fields.get('id');
  const hint = 'write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE';
  for (const name of fields.keys()) {
    if (!['id', 'src', 'source', 'env', 'type'].includes(name)) {
      throw new StkError('usage', `--secret: unknown field ${name}`, { hint });
    }
  }
  if (!id) throw new StkError('usage', '--secret: no id', { hint });
  const file = fields.get('src') ?? fields.get('source');
  if (file) {
    const path = absPath(file, session.workingDirectory);
    const value = await session.given.readPipe(path);
    return [id, value ? { type: 'value', value } : { type: 'file', path }];
  }
  const variable = fields.get('env') ?? id;
  const value = session.environment[variable];
  if (value === undefined) throw new StkError('usage', `--secret ${id}: the variable ${variable} is not set`, { hint });
  return [id, { type: 'value', value }];
}
