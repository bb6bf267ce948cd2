import type { BuildResult } from '../../../builder/build-all.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import type { Session } from '../../session.ts';
import { wantsDocuments } from '../attest/attach-flags.ts';
import type { BuildFlags } from './build-flags.ts';

/** Keeps the documents and signatures that a build was asked for beside its images. */
export async function attachAndSign(
  session: Session,
  results: readonly BuildResult[],
  flags: BuildFlags,
): Promise<void> {
  if (flags.signKey === undefined && !wantsDocuments(flags)) return;
  const layout = await LayoutStore.open(session.global.ociDir);
  const nameOf = (tag: string) => ({ kind: 'oci', directory: layout.directory, tag }) as const;
  if (wantsDocuments(flags)) {
    const { openAttacher } = await import('../attest/attacher.ts');
    const attacher = await openAttacher(session, flags);
    const substitutions = flags.substitute.map(text => text.split('=', 1)[0]!);
    for (const { tags, origin, platforms } of results) {
      for (const { tag, manifest, type } of tags) {
        if (type === 'squashfs') {
          const root = { store: layout, root: manifest, name: nameOf(tag) };
          // Of an index each image has its own, which is remembered.
          const madeBy = platforms === undefined ? { origin, substitutions } : { substitutions };
          await attacher.attach(root, { kind: 'build', ...madeBy });
        }
      }
    }
  }
  if (flags.signKey === undefined) return;
  const { openSigner } = await import('../publish/sign.ts');
  const signer = await openSigner(session, flags.signKey);
  for (const { tag, manifest } of results.flatMap(result => result.tags)) {
    await signer.sign(layout, manifest, nameOf(tag));
  }
}
