import { canonicalJson } from '../core/canonical-json.ts';
import { digestOf, type Digest } from '../core/digest.ts';
import { StkError, errnoOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { writeFileAtomic } from '../host/atomic-write.ts';
import { lstat, readFile } from '../host/files.ts';
import type { RuntimeSpec } from './runtime-spec.ts';

/** Annotations of `config.json`: of which manifest it was made, and a digest of all the rest as it was written. */
const IMAGE = 'dev.stk.bundle.image';
const CONTENT = 'dev.stk.bundle.config';
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

export interface BundleConfig {
  /** The whole file. */
  readonly text: string;
  readonly image: Digest;
}

/** `config.json` for a runtime configuration, with marks that tell later whether somebody has changed it. */
export function bundleConfig(spec: RuntimeSpec, image: Digest): BundleConfig {
  const marked = { ...spec, annotations: { ...spec.annotations, [IMAGE]: image } };
  const annotations = { ...marked.annotations, [CONTENT]: contentDigest(marked) };
  return { text: `${JSON.stringify({ ...marked, annotations }, null, 2)}\n`, image };
}

/**
 * What is to become of `config.json` in a directory: `write` where there is none, or one that nobody has touched since stk
 * wrote it; `keep` where somebody has changed one of the same image. Throws `conflict` for any other.
 */
export async function planBundleConfig(directory: AbsPath, config: BundleConfig): Promise<'write' | 'keep'> {
  const file = joinInside(directory, 'config.json');
  const stat = await lstat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) !== 'ENOTDIR') throw error;
    throw new StkError('invalid-input', `${directory} is no directory`, {
      cause: error,
      hint: 'name a directory for the bundle; where there is none, it is made',
      facts: { path: directory },
    });
  });
  if (!stat) return 'write';
  const marks = stat.isFile() && stat.size <= MAX_CONFIG_BYTES ? marksOf(await readFile(file)) : undefined;
  if (marks?.untouched === true) return 'write';
  if (marks?.image === config.image) return 'keep';
  const what = marks === undefined ? 'was not written by stk' : 'was changed by hand, for another image';
  throw new StkError('conflict', `${file} ${what}`, {
    hint: 'name another directory, or move the file away',
    facts: { path: file },
  });
}

export async function writeBundleConfig(directory: AbsPath, config: BundleConfig): Promise<void> {
  await writeFileAtomic(joinInside(directory, 'config.json'), config.text);
}

function marksOf(bytes: Buffer): { readonly image: string; readonly untouched: boolean } | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (!isObject(value) || !isObject(value['annotations'])) return undefined;
    const { [CONTENT]: content, ...annotations } = value['annotations'];
    const image = annotations[IMAGE];
    if (typeof image !== 'string' || typeof content !== 'string') return undefined;
    return { image, untouched: contentDigest({ ...value, annotations }) === content };
  } catch {
    // No JSON, or nested too deeply to be a configuration.
    return undefined;
  }
}

function contentDigest(value: object): Digest {
  return digestOf(Buffer.from(canonicalJson(value as never)));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
