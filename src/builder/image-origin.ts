import type { JsonValue } from '../core/canonical-json.ts';
import type { CacheKey, Digest } from '../core/digest.ts';
import { maskUrls } from '../core/mask-urls.ts';
import type { Platform } from '../oci/descriptor.ts';
import type { Recipe } from '../recipe/model.ts';
import type { RecordCache } from '../sources/record-cache.ts';

/** Something that an image was made of, by its digest. */
export interface Material {
  readonly kind: 'base' | 'apply' | 'import' | 'source';
  /** Where it came from, without logins. */
  readonly uri: string;
  /** Of a manifest, a file, or a directory as imports have it. */
  readonly digest?: Digest;
  /** The digest is that of a tree, which only stk computes. */
  readonly isTree?: boolean;
}

/** One step of an image, as it was looked up or done. */
export interface StepOrigin {
  readonly kind: string;
  readonly label: string;
  readonly key: CacheKey;
  /** It was known before. */
  readonly cached: boolean;
  /** `null` where it changed no file. */
  readonly layer: Digest | null;
  /** RFC 3339: when it was done, here or elsewhere. */
  readonly created: string;
}

/** How an image came about. Holds no value of a secret, a substitution or a variable. */
export interface ImageOrigin {
  readonly name: string;
  readonly platform: Platform;
  readonly recipe: RecipeOrigin;
  readonly materials: readonly Material[];
  readonly steps: readonly StepOrigin[];
  /** RFC 3339. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly parameters: { readonly [name: string]: JsonValue };
}

export interface RecipeOrigin {
  /** Name of the file alone, or its URL. */
  readonly name: string;
  readonly digest: Digest;
  /** Before substitution, without logins in URLs. */
  readonly text: string;
  /** `git describe` of its directory. */
  readonly git?: string;
}

export function recipeOrigin({ file, digest, text }: Recipe, git: string | undefined): RecipeOrigin {
  const name = /^https?:/.test(file) ? maskUrls(file).text : file.slice(file.lastIndexOf('/') + 1);
  return { name, digest, text: maskUrls(text).text, ...(git === undefined ? {} : { git }) };
}

/** Remembers how an image came about, under its manifest's digest. */
export async function rememberOrigin(records: RecordCache, manifest: Digest, origin: ImageOrigin): Promise<void> {
  await records.put('origin', manifest, origin as unknown as JsonValue);
}

/** How an image that was built here came about; `undefined` where nobody remembers. */
export async function findOrigin(records: RecordCache, manifest: Digest): Promise<ImageOrigin | undefined> {
  const value: unknown = await records.get('origin', manifest);
  const isOrigin = typeof value === 'object' && value !== null && 'steps' in value && 'materials' in value;
  return isOrigin ? (value as ImageOrigin) : undefined;
}
