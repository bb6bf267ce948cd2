import type { AsyncScope } from '../../../core/async-scope.ts';
import type { Emit } from '../../../core/events.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { StkError } from '../../../core/errors.ts';
import { parseImageName } from '../../../oci/image-name.ts';
import { RemoteCache } from '../../../transfer/remote-cache.ts';
import type { StepCaches } from '../../../sources/step-cache.ts';
import type { Session } from '../../session.ts';
import type { BuildFlags } from './build-flags.ts';

/** Opens the stores of `--cache-from` and `--cache-to`; the end of the scope waits for what is being stored. */
export async function openStepCaches(
  session: Session,
  flags: Pick<BuildFlags, 'cacheFrom' | 'cacheTo'>,
  scope: AsyncScope,
  emit: Emit,
): Promise<StepCaches> {
  const opened = new Map<string, RemoteCache>();
  const written = new Set(flags.cacheTo);
  const open = async (text: string): Promise<RemoteCache> => {
    const known = opened.get(text);
    if (known) return known;
    const cache = scope.use(
      new RemoteCache(await openStore(session, { text, isWritten: written.has(text) }, scope), emit),
    );
    opened.set(text, cache);
    return cache;
  };
  const from: RemoteCache[] = [];
  for (const text of flags.cacheFrom ?? []) from.push(await open(text));
  const to: RemoteCache[] = [];
  for (const text of flags.cacheTo ?? []) to.push(await open(text));
  return { from, to };
}

/** What is written to is not asked through mirrors: they may have what the registry has not. A layout is made. */
async function openStore(
  session: Session,
  { text, isWritten }: { readonly text: string; readonly isWritten: boolean },
  scope: AsyncScope,
): Promise<BlobStore> {
  const name = parseImageName(text);
  if (name.kind !== 'docker' && name.kind !== 'oci') {
    throw new StkError('usage', `${text} is no place for a build cache`, {
      hint: 'write docker://HOST/REPOSITORY or oci:DIR',
    });
  }
  if (isWritten || name.kind === 'oci') return session.stores.openTarget(name, {}, scope);
  return (await session.stores.open(name, {}, scope)).store;
}
