import type { AsyncScope } from '../core/async-scope.ts';
import type { Digest } from '../core/digest.ts';
import { StkError, isStkError } from '../core/errors.ts';
import { mapLimited } from '../core/limiter.ts';
import { parseImageName, referenceOf } from '../oci/image-name.ts';
import type { ImageStores } from '../stores/image-stores.ts';
import type { RollJournal, RollMove } from './roll-journal.ts';

export interface RollBackPorts {
  readonly stores: ImageStores;
  readonly journal: RollJournal;
  readonly parallel: number;
  readonly tlsVerify: boolean;
  readonly dryRun: boolean;
  readonly scope: AsyncScope;
  readonly signal: AbortSignal;
}

/** What became of a tag that a roll had moved. */
export interface RolledBack {
  readonly image: string;
  /**
   * `moved-since`: it stands for something that the roll did not make, and stays. `no-version-before`: the roll made the tag,
   * which stays.
   */
  readonly outcome: 'restored' | 'would-restore' | 'unchanged' | 'moved-since' | 'no-version-before' | 'failed';
  readonly from: Digest | undefined;
  readonly to: Digest | undefined;
  readonly error?: StkError;
}

/** Puts every tag that the latest roll moved back to what it stood for before the roll. Done again, it changes nothing. */
export async function rollBack(ports: RollBackPorts): Promise<readonly RolledBack[]> {
  const { journal, parallel, signal } = ports;
  const moves = new Map<string, RollMove[]>();
  for (const move of journal.moves) moves.set(move.image, [...(moves.get(move.image) ?? []), move]);
  const done = await mapLimited(
    [...moves.values()],
    parallel,
    async (list, inner) => {
      try {
        return await restore(list, ports, inner);
      } catch (error) {
        if (!isStkError(error) || inner.aborted) throw error;
        const { image, from, to } = list.at(-1)!;
        return { image, outcome: 'failed' as const, from: to, to: from, error };
      }
    },
    signal,
  );
  if (!ports.dryRun && done.every(({ outcome }) => outcome !== 'failed')) await journal.end();
  return done;
}

/** @param moves of one tag, in their order */
async function restore(
  moves: readonly RollMove[],
  { stores, journal, tlsVerify, dryRun, scope }: RollBackPorts,
  signal: AbortSignal,
): Promise<RolledBack> {
  const { image, from: before } = moves[0]!;
  const name = parseImageName(image);
  const tag = referenceOf(name)!;
  const { store } = await stores.openForChange(name, { tlsVerify }, scope);
  const now = (await store.resolve(tag, { signal }))?.digest;
  const told = { image, from: now, to: before };
  if (now === before) return { ...told, outcome: 'unchanged' };
  if (!moves.some(({ to }) => to === now)) return { ...told, outcome: 'moved-since' };
  if (before === undefined) return { ...told, outcome: 'no-version-before' };
  if (dryRun) return { ...told, outcome: 'would-restore' };
  const manifest = (await journal.manifest(before)) ?? (await store.readManifest(before, { signal }));
  for (const child of await journal.children(manifest))
    await store.putManifest(child, undefined, { signal, named: true });
  await store.putManifest(manifest, tag, { signal, expected: { digest: now } });
  return { ...told, outcome: 'restored' };
}
