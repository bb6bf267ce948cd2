import { StkError, messageOf } from '../core/errors.ts';
import { joinInside, type AbsPath } from '../core/paths.ts';
import { mkdir, readFile, writeFile } from '../host/files.ts';
import { mountTmpfs, unmount } from '../host/tools/mount.ts';
import type { SecretMount } from '../recipe/model.ts';
import type { SecretSource } from './options.ts';

/** A secret as a step sees it. */
export interface MountedSecret {
  readonly id: string;
  /** On a tmpfs that only this process's mount namespace has. */
  readonly file: AbsPath;
  readonly target: string;
  readonly value: Buffer;
  /** Name and value of the variable, where the recipe wants one. */
  readonly variable: readonly (readonly [string, string])[];
}

/** The secrets of one step; disposing takes the tmpfs away. */
export interface MountedSecrets extends AsyncDisposable {
  readonly secrets: readonly MountedSecret[];
}

/**
 * Puts the secrets of an image on a tmpfs below `directory`. Throws `usage` for one that was not given on the command
 * line. The values never reach a key, a record, an annotation or a log.
 */
export async function mountSecrets(
  wanted: readonly SecretMount[],
  sources: ReadonlyMap<string, SecretSource>,
  directory: AbsPath,
): Promise<MountedSecrets> {
  if (wanted.length === 0) return { secrets: [], async [Symbol.asyncDispose]() {} };
  const home = joinInside(directory, 'secrets');
  await mkdir(home, { mode: 0o700 });
  const values = await Promise.all(wanted.map(entry => readSecret(entry.id, sources)));
  await mountTmpfs(home, ['mode=0700', 'size=16m']);
  try {
    const secrets: MountedSecret[] = [];
    for (const [index, entry] of wanted.entries()) {
      const file = joinInside(home, String(index));
      const value = values[index]!;
      await writeFile(file, value, { mode: 0o400 });
      const variable = entry.env === undefined ? [] : [[entry.env, value.toString('utf8').replace(/\n$/, '')] as const];
      secrets.push({ id: entry.id, file, target: entry.dest, value, variable });
    }
    return { secrets, [Symbol.asyncDispose]: () => unmount(home, { lazy: true }) };
  } catch (error) {
    await unmount(home, { lazy: true });
    throw error;
  }
}

async function readSecret(id: string, sources: ReadonlyMap<string, SecretSource>): Promise<Buffer> {
  const source = sources.get(id);
  if (!source) {
    throw new StkError('usage', `the recipe wants the secret ${id}, which was not given`, {
      hint: `give it: --secret id=${id},src=FILE or --secret id=${id},env=VARIABLE`,
    });
  }
  if (source.type === 'value') return Buffer.from(source.value as Uint8Array);
  return readFile(source.path).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read the secret ${id}: ${messageOf(cause)}`, { cause });
  });
}
