import type { UpdateRun } from '../../../update/update-run.ts';
import { wantsDocuments, type AttachFlags } from '../attest/attach-flags.ts';
import { openSigner } from '../publish/sign.ts';
import type { Session } from '../../session.ts';
import type { Ui } from '../../ui/open-ui.ts';
import { parseRule } from './wanted-parts.ts';

/** What is kept beside new versions before their tags move: documents, then signatures; `undefined` for nothing. */
export async function keptBeside(
  session: Session,
  flags: AttachFlags & { readonly conflict?: readonly string[] },
  { emit }: Pick<Ui, 'emit'>,
): Promise<UpdateRun['sign']> {
  const signer = flags.signKey === undefined ? undefined : await openSigner(session, flags.signKey);
  // Few updates keep documents.
  const attacher = wantsDocuments(flags)
    ? await (await import('../attest/attacher.ts')).openAttacher(session, flags)
    : undefined;
  if (!signer && !attacher) return undefined;
  const rules = (flags.conflict ?? []).map(parseRule).map(({ glob, resolution }) => [glob, resolution] as const);
  return async (store, root, name) => {
    await attacher?.attach({ store, root, name }, { kind: 'update', rules }, emit);
    await signer?.sign(store, root, name, emit);
  };
}
