import type { AsyncScope } from '../../../core/async-scope.ts';
import type { Emit } from '../../../core/events.ts';
import { absPath } from '../../../core/paths.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { formatReference, parseReference } from '../../../oci/reference.ts';
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
    const cache = scope.use(new RemoteCache(await openStore(session, text, written.has(text)), emit));
    opened.set(text, cache);
    return cache;
  };
  const from: RemoteCache[] = [];
  for (const text of flags.cacheFrom ?? []) from.push(await open(text));
  const to: RemoteCache[] = [];
  for (const text of flags.cacheTo ?? []) to.push(await open(text));
  return { from, to };
}

/** What is written to is not asked through mirrors: they may have what the registry has not. */
async function openStore(session: Session, text: string, isWritten: boolean): Promise<BlobStore> {
  const reference = parseReference(text);
  if (reference.kind === 'oci') return LayoutStore.create(absPath(reference.directory, session.workingDirectory));
  const { openRegistry, openRegistryItself } = await import('../images/open-registry.ts');
  const open = isWritten ? openRegistryItself : openRegistry;
  return (await open(session, formatReference(reference), false)).store;
}
