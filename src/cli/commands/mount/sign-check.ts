import { AsyncScope } from '../../../core/async-scope.ts';
import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { openSource } from '../images/publish-stores.ts';
import type { SignatureFlags } from '../signature/require-signature.ts';
import { imageName, openSignatureDemand } from '../signature/signature-demand.ts';

/**
 * `stk verify REF --key P`, `--policy F`: prints by which key and under which name the image is signed. Throws
 * `integrity` where it is not. Returns the digest that was checked.
 */
export async function runSignatureCheck(
  session: Session,
  ref: string,
  flags: SignatureFlags & { readonly tlsVerify: boolean },
): Promise<Digest> {
  const scope = new AsyncScope();
  try {
    const { store, reference, name } = await openSource(session, ref, flags.tlsVerify, scope);
    if (reference === undefined) throw new StkError('usage', `${name} names no image`, { hint: 'write oci:DIR:TAG' });
    const demand = await openSignatureDemand(session, flags);
    const { digest, signatures } = await demand.check(store, reference, imageName(session, ref), true);
    if (flags.policy !== undefined)
      session.stdout.write(`${printableLine(ref)} meets the policy\n  digest ${digest}\n`);
    for (const found of signatures) {
      session.stdout.write(
        `${printableLine(ref)} is signed as ${found.identity}\n  key ${found.key}\n  digest ${found.digest}\n`,
      );
    }
    return digest;
  } finally {
    await scope[Symbol.asyncDispose]();
  }
}
